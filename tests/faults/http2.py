"""HTTP/2 by hand: requests that pyarrow's client refuses to send, or dies of."""

import socket
from collections.abc import Sequence

HEADERS, RESET, SETTINGS, GO_AWAY, CONTINUATION = 1, 3, 4, 7, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVICE = b"/arrow.flight.protocol.FlightService/"

Fields = Sequence[tuple[bytes, bytes]]


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def call(method: bytes, extra: Fields = ()) -> list[tuple[bytes, bytes]]:
    """The header fields of a gRPC call, and `extra`."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", SERVICE + method),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *extra,
    ]


def request(fields: Fields, messages: Sequence[bytes] = (b"",)) -> bytes:
    """The frames of a whole call."""
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)
    parts = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    sent = [frame(CONTINUATION if number else HEADERS, 0, part) for number, part in enumerate(parts[:-1])]
    sent.append(frame(CONTINUATION if parts[:-1] else HEADERS, END_HEADERS, parts[-1]))
    body = b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)
    return b"".join(sent) + frame(0, END_STREAM, body)


def answer(port: int, frames: bytes, hang_up: bool = False) -> bytes:
    """What a server says until the stream is over; `hang_up` says that nothing more will be sent, so it must end."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as wire:
        try:
            wire.sendall(PREFACE + frame(SETTINGS, 0, b"", 0) + frames)
            if hang_up:
                wire.shutdown(socket.SHUT_WR)
            return _until_the_end(wire)
        except ConnectionError:  # it hung up: an answer too
            return b""


def _until_the_end(wire: socket.socket) -> bytes:
    said = b""
    with wire.makefile("rb") as file:
        while len(head := file.read(9)) == 9:
            said += file.read(int.from_bytes(head[:3], "big"))
            over = head[3] in (RESET, GO_AWAY) or (head[3] in (0, HEADERS) and head[4] & END_STREAM)
            if over:
                break
    return said


def _text(data: bytes) -> bytes:
    """A length with a prefix of seven bits, and the bytes."""
    length, prefix = len(data), bytes([min(len(data), 127)])
    if length >= 127:
        length -= 127
        while length >= 128:
            prefix += bytes([length % 128 + 128])
            length //= 128
        prefix += bytes([length])
    return prefix + data
