"""What may be asked of a run from the page: it goes into the run's control file, which its trainer reads."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nymph.dashboard.bodies import read_body
from nymph.dashboard.feed import Feed
from nymph.dashboard.run import run_of
from nymph.errors import NymphError
from nymph.training.control import ask

_BODY_BYTES = 256


class Commands:
    """Answers only those that `guard` has let through: holders of the key, from this page or a program."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def session(self, request: Request) -> Response:
        """Whether who asks may command."""
        return JSONResponse({"may_command": request.state.has_key})

    async def control(self, request: Request) -> Response:
        """The body is a request's name: `checkpoint` or `stop`. 202: the trainer will see it after its next step."""
        run = run_of(self._feed.runs, request.path_params["run"])
        wish = (await read_body(request, _BODY_BYTES)).decode("utf-8", "replace")
        if run.end is not None:
            raise HTTPException(409, f"the run has ended: {run.end.get('status')}")
        try:
            ask(run.folder, wish)
        except NymphError as error:
            raise HTTPException(400, str(error)) from None
        return Response(status_code=202)
