"""uvicorn's WebSocket protocol, with an end for those who do not read.

uvicorn closes a connection once its buffer has been sent, which for a peer that reads nothing is never: the socket and
what waits for it would stay for as long as the peer likes. Here it is aborted a moment after the application is done.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

GOODBYE_SECONDS = 2.0
"""For the closing handshake of those who do read."""


class PromptProtocol(WebSocketsSansIOProtocol):
    """Drops a connection whose peer does not take its goodbye."""

    async def run_asgi(self) -> None:
        """Run the application, then end the connection within `GOODBYE_SECONDS`."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(GOODBYE_SECONDS, self.transport.abort)
