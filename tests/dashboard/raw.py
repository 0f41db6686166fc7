"""A WebSocket client of bare bytes, for what no library would send."""

import base64
import os
import socket
import struct
from contextlib import suppress
from urllib.parse import urlsplit

TEXT, BINARY, PING, CONTINUATION = 1, 2, 9, 0
CLOSE = 8
PATIENCE_SECONDS = 120.0


def call(address: str, head: bytes = b"", receive_buffer: int | None = None) -> socket.socket:
    """A connection to `http://host:port` over which `head` has been sent."""
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(PATIENCE_SECONDS)
    client.connect((urlsplit(address).hostname, urlsplit(address).port))
    with suppress(ConnectionError):  # it may be hung up on already
        client.sendall(head)
    return client


def handshake(address: str) -> bytes:
    """What asks for `/live`."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /live HTTP/1.1", f"Host: {urlsplit(address).netloc}", f"Origin: {address}", "Upgrade: websocket"]
    lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
    return "\r\n".join(lines).encode()


def open_live(address: str, receive_buffer: int | None = None) -> socket.socket:
    """A WebSocket of which nothing but the server's consent has been read."""
    client = call(address, handshake(address), receive_buffer)
    assert read_until(client, b"\r\n\r\n", at_once=1).startswith(b"HTTP/1.1 101")
    return client


def read_until(client: socket.socket, *expected: bytes, at_once: int = 1 << 16) -> bytes:
    """What has come when all of `expected` has."""
    seen = b""
    while not all(part in seen for part in expected):
        some = client.recv(at_once)
        assert some, f"hung up after {seen!r}"
        seen += some
    return seen


def frame(kind: int, payload: bytes, *, final: bool = True, claimed: int | None = None) -> bytes:
    """One frame, masked with zeros; `claimed` writes another length than the payload's."""
    length = len(payload) if claimed is None else claimed
    first = kind | (0x80 if final else 0)
    if length < 126:
        return struct.pack("!BB4x", first, 0x80 | length) + payload
    return struct.pack("!BBQ4x", first, 0x80 | 127, length) + payload


def goodbye(client: socket.socket) -> int | None:
    """The code with which the server closed; None where it hung up without one."""
    with client, client.makefile("rb") as stream, suppress(ConnectionError):
        while head := stream.read(2):
            length = head[1]
            if length > 125:
                length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
            payload = stream.read(length)
            if head[0] & 0x0F == CLOSE:
                return int.from_bytes(payload[:2], "big")
    return None
