"""uvicorn's protocols, with an end for those who do not read, never finish what they began, or never stop.

uvicorn closes a connection once its buffer has been sent, which for a peer that reads nothing is never; it waits for
the end of a request's head for ever, and answers every ping. Each would let a few peers hold memory or sockets for as
long as they like. HTTP is read by h11 also where httptools is installed: it tells what it is waiting for.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

GOODBYE_SECONDS = 2.0
"""For the closing handshake of those who do read."""
HEAD_SECONDS = 10.0
"""For a request's head, or a WebSocket's handshake, to be complete."""
MOST_PINGS = 50
"""In a second; a browser sends none."""
MOST_FRAGMENTS = 64
"""Of one message."""
_POLICY, _NOT_UTF8 = 1008, 1007


class PromptProtocol(WebSocketsSansIOProtocol):
    """Drops a connection whose peer does not take its goodbye, does not answer, or floods."""

    _pings = 0
    _second = 0

    async def run_asgi(self) -> None:
        """Run the application, then end the connection within `GOODBYE_SECONDS`."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(GOODBYE_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Who has not answered a ping reads no goodbye either."""
        self.transport.abort()

    def handle_ping(self) -> None:
        """Answer, up to `MOST_PINGS` a second."""
        second = int(self.loop.time())
        self._pings = self._pings + 1 if second == self._second else 1
        self._second = second
        if self._pings > MOST_PINGS:
            self._refuse(_POLICY, "too many pings")
        else:
            super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        """Gather a message of up to `MOST_FRAGMENTS`."""
        if len(self.frames) >= MOST_FRAGMENTS:
            self._refuse(_POLICY, "too many fragments")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Refuse what is no text without a traceback for every such message."""
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self._refuse(_NOT_UTF8, "not UTF-8")
        else:
            super().send_receive_event_to_app()

    def _refuse(self, code: int, reason: str) -> None:
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()


class PatientProtocol(H11Protocol):
    """Waits `HEAD_SECONDS` for the rest of a request's head."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Stop waiting when a head is complete, and wait for the next one once it has begun."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._late is None:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
