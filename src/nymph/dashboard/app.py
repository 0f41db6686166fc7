"""The dashboard's routes: one page, its files, one WebSocket, a run's numbers and samples, and what it may be asked."""

import csv
import io
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
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
from nymph.dashboard.bodies import read_body
from nymph.dashboard.commands import Commands
from nymph.dashboard.feed import LOOK_SECONDS, Feed
from nymph.dashboard.guard import COOKIE, LOGIN, LOOPBACK, Guard, matches
from nymph.dashboard.live import SEND_SECONDS, Live
from nymph.dashboard.receive import Receiver
from nymph.dashboard.run import HISTORY_POINTS, Run, run_of
from nymph.dashboard.samples import Corpus, Samples
from nymph.tracking.params import flatten

STATIC = Path(__file__).parent / "static"
MAX_CLIENTS = 2000
_FORM_BYTES = 4096


def create_app(
    runs_directory: Path,
    *,
    project: Path | None = None,
    key: str | None = None,
    open_to_all: bool = True,
    corpus: Corpus | None = None,
    hosts: tuple[str, ...] = LOOPBACK,
    max_clients: int = MAX_CLIENTS,
    period: float = LOOK_SECONDS,
    send_seconds: float = SEND_SECONDS,
) -> Starlette:
    """The application over `<runs_directory>/<run>/events.jsonl`.

    Args:
        runs_directory: Watched for runs; it need not exist yet.
        project: Where `npm ci` was run; by default the current folder, then the one this package lies in.
        key: Needed for every command: once per browser at the login page, as a bearer token from programs. None
            permits no command.
        open_to_all: Whether looking needs no key: on a loopback address only.
        corpus: Where the recordings of samples are.
        hosts: Names by which browsers may reach it.
        max_clients: Further WebSockets are answered 503.
        period: Seconds between looks at the logs.
        send_seconds: A client that takes no message for so long is cut off.

    Raises:
        NymphError: Chart.js is not installed.
    """
    chart = find_chart(project)
    feed = Feed(Path(runs_directory), period)
    pages, commands, samples = _Pages(feed, chart, key), Commands(feed), Samples(feed, corpus)
    receiver = Receiver(Path(runs_directory))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with feed.following():
            yield

    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/health", pages.health),
            Route(LOGIN, pages.login, methods=["GET", "POST"]),
            Route("/static/chart.js", pages.chart),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/api/runs/{run}/series", pages.series),
            Route("/api/runs/{run}/settings", pages.settings),
            Route("/api/runs/{run}/metrics.csv", pages.table),
            Route("/api/runs/{run}/samples/{name}", samples.sample),
            Route("/api/runs/{run}/samples/{name}/recording", samples.recording),
            Route("/api/session", commands.session),
            Route("/api/runs/{run}/control", commands.control, methods=["POST"]),
            Route("/api/received/{run}", receiver.lines, methods=["POST"]),
            Route("/api/received/{run}/{path:path}", receiver.file, methods=["PUT"]),
            WebSocketRoute("/live", Live(feed, max_clients, send_seconds).endpoint),
        ],
        middleware=[Middleware(Guard, hosts=hosts, key=key, open_to_all=open_to_all)],
        lifespan=lifespan,
    )


class _Pages:
    def __init__(self, feed: Feed, chart: Path, key: str | None) -> None:
        self._feed = feed
        self._chart = chart
        self._key = key

    async def index(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def chart(self, request: Request) -> Response:
        return FileResponse(self._chart, media_type="text/javascript")

    async def health(self, request: Request) -> Response:
        return JSONResponse({"runs": len(self._feed.runs), "version": self._feed.version})

    async def login(self, request: Request) -> Response:
        if request.method == "GET" or self._key is None:
            return FileResponse(STATIC / "login.html")
        form = parse_qs((await read_body(request, _FORM_BYTES)).decode("ascii", "replace"))
        given = form.get("token", [""])[0].strip()
        if not matches(given, self._key):
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
        return run_of(self._feed.runs, request.path_params["run"])


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
