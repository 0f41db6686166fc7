"""A port for servers that are killed and started again, which nobody else gets meanwhile."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections until a server listens on it.

    A port that was only probed is free for whoever asks next, and another worker does. This one stays bound by a socket
    that does not listen, beside which (SO_REUSEADDR, on Linux) a server may; nobody is given it by chance.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
