"""The dashboard's routes: one page, its files, one WebSocket, and a run's numbers as JSON and CSV."""

import csv
import io
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from nymph.dashboard.assets import find_chart
from nymph.dashboard.feed import LOOK_SECONDS, Feed
from nymph.dashboard.guard import COOKIE, LOOPBACK, Guard, matches
from nymph.dashboard.live import Live
from nymph.dashboard.run import HISTORY_POINTS, Run
from nymph.tracking.params import flatten

STATIC = Path(__file__).parent / "static"
MAX_CLIENTS = 2000
_FORM_BYTES = 4096


def create_app(
    runs_directory: Path,
    *,
    project: Path | None = None,
    token: str | None = None,
    hosts: tuple[str, ...] = LOOPBACK,
    max_clients: int = MAX_CLIENTS,
    period: float = LOOK_SECONDS,
) -> Starlette:
    """The application over `<runs_directory>/<run>/events.jsonl`.

    Args:
        runs_directory: Watched for runs; it need not exist yet.
        project: Where `npm ci` was run; by default the current folder, then the one this package lies in.
        token: Asked for once per browser, as a bearer token from programs; None on a loopback address.
        hosts: Names by which browsers may reach it.
        max_clients: Further WebSockets are answered 503.
        period: Seconds between looks at the logs.

    Raises:
        NymphError: Chart.js is not installed.
    """
    chart = find_chart(project)
    feed = Feed(Path(runs_directory), period)
    pages = _Pages(feed, chart, token)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with feed.following():
            yield

    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/health", pages.health),
            Route("/login", pages.login, methods=["GET", "POST"]),
            Route("/static/chart.js", pages.chart),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/api/runs/{run}/series", pages.series),
            Route("/api/runs/{run}/settings", pages.settings),
            Route("/api/runs/{run}/metrics.csv", pages.table),
            WebSocketRoute("/live", Live(feed, max_clients).endpoint),
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=token)],
        lifespan=lifespan,
    )


class _Pages:
    def __init__(self, feed: Feed, chart: Path, token: str | None) -> None:
        self._feed = feed
        self._chart = chart
        self._token = token

    async def index(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def chart(self, request: Request) -> Response:
        return FileResponse(self._chart, media_type="text/javascript")

    async def health(self, request: Request) -> Response:
        return JSONResponse({"runs": len(self._feed.runs), "version": self._feed.version})

    async def login(self, request: Request) -> Response:
        if request.method == "GET" or self._token is None:
            return FileResponse(STATIC / "login.html")
        if int(request.headers.get("content-length", _FORM_BYTES + 1)) > _FORM_BYTES:
            raise HTTPException(413)
        given = parse_qs((await request.body()).decode("ascii", "replace")).get("token", [""])[0].strip()
        if not matches(given, self._token):
            return FileResponse(STATIC / "login.html", 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, given, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer

    async def series(self, request: Request) -> Response:
        """`?start=&stop=`: every metric between two steps, as fine as a chart can show."""
        run = self._run(request)
        try:
            start, stop = float(request.query_params["start"]), float(request.query_params["stop"])
        except (KeyError, ValueError):
            return PlainTextResponse("expected ?start=STEP&stop=STEP", 400)
        found = {name: series.between(start, stop, HISTORY_POINTS) for name, series in run.series.items()}
        return JSONResponse({"run": run.name, "series": {name: p.plain() for name, p in found.items() if len(p.steps)}})

    async def settings(self, request: Request) -> Response:
        """The job the run was started with, flattened."""
        job = self._run(request).start.get("job")
        return JSONResponse(flatten("", job) if isinstance(job, dict) else {})

    async def table(self, request: Request) -> Response:
        """Every point as CSV: metric, step, value."""
        run = self._run(request)
        name = "".join(c if c.isalnum() or c in "-_." else "-" for c in run.name)
        headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
        return StreamingResponse(_csv(run), media_type="text/csv", headers=headers)

    def _run(self, request: Request) -> Run:
        run = self._feed.runs.get(request.path_params["run"])
        if run is None:
            raise HTTPException(404, "no such run")
        return run


def _csv(run: Run) -> Iterator[str]:
    yield "metric,step,value\r\n"
    for name, series in list(run.series.items()):
        # A spreadsheet would run a name that begins like a formula.
        safe = f"'{name}" if name[:1] in "=+-@\t" else name
        points = zip(series.steps[:], series.values[:], strict=True)
        while some := list(itertools.islice(points, 1000)):
            text = io.StringIO()
            csv.writer(text).writerows((safe, step, value) for step, value in some)
            yield text.getvalue()
