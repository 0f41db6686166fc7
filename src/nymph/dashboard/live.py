"""The WebSocket: a client says which runs it watches and what it has; it gets the rest, and then what comes.

The only words a client may say are `{"watch": {"<run>": ["<generation>", <seq>] | null}}`.
"""

import asyncio
import json

from anyio import create_task_group
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from nymph.dashboard.feed import Cursor, Feed

MAX_MESSAGE_BYTES = 1 << 16
MAX_WATCHED = 16
SEND_SECONDS = 30.0
"""A client that takes no message for so long is cut off."""
WISH_SECONDS = 0.05
"""Between two wishes of a client: each may cost a history."""
_POLICY = 1008


class Live:
    """Serves up to `limit` clients from one feed."""

    def __init__(self, feed: Feed, limit: int = 2000, send_seconds: float = SEND_SECONDS) -> None:
        self._feed = feed
        self._limit = limit
        self._send_seconds = send_seconds
        self.clients = 0

    async def endpoint(self, websocket: WebSocket) -> None:
        """One client, from connection to goodbye."""
        if self.clients >= self._limit:
            return await websocket.send_denial_response(Response("too many clients", 503))
        self.clients += 1
        try:
            await websocket.accept()
            with self._feed.subscribed() as news:
                await _Client(websocket, self._feed, news, self._send_seconds).run()
        except* (WebSocketDisconnect, TimeoutError, OSError):
            pass
        finally:
            self.clients -= 1


class _Client:
    def __init__(self, websocket: WebSocket, feed: Feed, news: asyncio.Event, send_seconds: float) -> None:
        self._send_seconds = send_seconds
        self._websocket = websocket
        self._feed = feed
        self._cursor = Cursor()
        self._news = news

    async def run(self) -> None:
        """Send and receive until either side ends."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._send)
            await self._receive()
            tasks.cancel_scope.cancel()

    async def _receive(self) -> None:
        while True:
            try:
                watched = parse_watch(await self._websocket.receive_text())
            except (ValueError, KeyError, RecursionError):
                return await self._websocket.close(_POLICY, "expected {watch: {run: [generation, seq] | null}}")
            self._cursor = Cursor(self._cursor.version, watched)
            self._news.set()
            await asyncio.sleep(WISH_SECONDS)

    async def _send(self) -> None:
        while True:
            self._news.clear()
            asked = self._cursor
            text, cursor = self._feed.message(asked)
            if text is not None:
                async with asyncio.timeout(self._send_seconds):
                    await self._websocket.send_text(text)
            if self._cursor is asked:  # else a new wish came meanwhile, and stands
                self._cursor = cursor
            await self._news.wait()


def parse_watch(text: str) -> tuple[tuple[str, str | None, int], ...]:
    """What a client watches and has: (run, generation or None, seq), at most `MAX_WATCHED`.

    Raises:
        ValueError: Anything but the one message a client may send.
    """
    wish = json.loads(text)
    if not isinstance(wish, dict) or set(wish) != {"watch"} or not isinstance(wish["watch"], dict):
        raise ValueError("not a watch message")
    return tuple(_place(run, place) for run, place in list(wish["watch"].items())[:MAX_WATCHED])


def _place(run: str, place: object) -> tuple[str, str | None, int]:
    match place:
        case None:
            return run, None, -1
        case [str() as generation, int() as seq]:
            return run, generation, seq
    raise ValueError("expected [generation, seq] or null")
