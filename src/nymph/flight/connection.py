"""How a Flight server is reached: address, secrets, patience. Checked here, because gRPC aborts on what it dislikes."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.flight.memory import keep_freed_memory

SCHEMES = ("grpc://", "grpc+tls://")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,4096}")


@dataclass(frozen=True)
class Connection:
    """How long a client waits, what it shows and whom it trusts."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    token: str | None = field(default=None, repr=False)
    """Bearer token; spaces and line ends around it are dropped."""
    token_file: str | None = None
    """File that holds the token."""
    ca_file: str | None = None
    """PEM file of the authority that signed the server's certificate; None is the system's."""
    certificate_file: str | None = None
    """PEM file of this client's certificate, where the server asks for one."""
    key_file: str | None = None
    """PEM file of its key."""
    patience: float = 60.0
    """Seconds without a row before an unreachable server is an error."""
    stall: float = 10.0
    """Seconds of silence in a stream before it is cut and asked for again."""
    prefetch: int = 8
    """Pieces of about 2 MiB that each stream reads ahead."""
    streams: int = 1
    """Connections that read one order in turns: more than one pays over a distance, not on loopback."""

    def __post_init__(self) -> None:
        if not (self.patience >= 0 and self.stall > 0 and self.prefetch >= 1 and 1 <= self.streams <= 64):
            raise NymphError(
                "expected patience >= 0 s, stall > 0 s, prefetch >= 1 and 1 to 64 streams, "
                f"got {self.patience!r}, {self.stall!r}, {self.prefetch!r} and {self.streams!r}"
            )
        if (self.certificate_file is None) != (self.key_file is None):
            raise NymphError("expected certificate_file and key_file together, got one of them")


@dataclass(frozen=True)
class Address:
    """A server and a table on it."""

    server: str
    table: str

    @classmethod
    def parse(cls, location: str) -> "Address":
        """The address in `grpc://host:port/table/name`; NymphError for anything else."""
        try:
            parts = urlsplit(location)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not location.startswith(SCHEMES) or not host or not port:
            raise NymphError(f"expected grpc://host:port/table or grpc+tls://host:port/table, got {location!r}")
        name = f"[{host}]" if ":" in host else host
        return cls(f"{parts.scheme}://{name}:{port}", unquote(parts.path.strip("/")))


class Clients:
    """Clients of one server, lent to one thread at a time and used again while they work. Safe for threads."""

    def __init__(self, server: str, options: Connection) -> None:
        self.server, self.options = server, options
        self._idle: deque[fl.FlightClient] = deque()

    @contextmanager
    def borrow(self) -> Iterator[fl.FlightClient]:
        """A client; one whose user met an exception, or left early, is closed rather than lent again."""
        try:
            client = self._idle.pop()
        except IndexError:
            client = connect(self.server, self.options)
        try:
            yield client
        except BaseException:
            client.close()
            raise
        self._idle.append(client)

    def call_options(self, timeout: float | None = None) -> fl.FlightCallOptions:
        """Headers and deadline of a call."""
        return call_options(self.options, timeout)

    def close(self) -> None:
        """Close what is idle."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()


def connect(server: str, options: Connection) -> fl.FlightClient:
    """A client for `server`; it connects at the first call. NymphError where a certificate cannot be read."""
    keep_freed_memory()
    arguments: dict[str, Any] = {"generic_options": _transport(options)}
    if server.startswith("grpc+tls://"):
        if options.ca_file:
            arguments["tls_root_certs"] = _read(options.ca_file)
        if options.certificate_file and options.key_file:
            arguments["cert_chain"] = _read(options.certificate_file)
            arguments["private_key"] = _read(options.key_file)
    try:
        return fl.connect(server, **arguments)
    except (pa.ArrowException, OSError) as error:
        raise NymphError(f"cannot connect to {server}: {str(error).splitlines()[0]}") from None


def call_options(options: Connection, timeout: float | None = None) -> fl.FlightCallOptions:
    """Headers and deadline of a call; NymphError for a token that gRPC would abort the process for."""
    token = _read(options.token_file).decode("latin-1") if options.token_file else options.token
    headers = []
    if token is not None:
        token = token.strip()
        if not _VISIBLE.fullmatch(token):
            raise NymphError("the token must be 1 to 4096 visible ASCII characters; write the file or variable again")
        headers.append((b"authorization", f"Bearer {token}".encode("ascii")))  # an upper-case key aborts in gRPC
    return fl.FlightCallOptions(timeout=timeout, headers=headers)


def _transport(options: Connection) -> list[tuple[str, int | str]]:
    """Keepalive that notices a frozen server, and a quick way back after a restart."""
    stall = int(options.stall * 1000)
    return [
        ("grpc.keepalive_time_ms", max(stall, 10_000)),
        ("grpc.keepalive_timeout_ms", stall),
        ("grpc.http2.ping_timeout_ms", stall),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.max_receive_message_length", -1),
        ("grpc.http2.max_frame_size", 1024 * 1024),  # fewer, larger reads
        ("grpc.use_local_subchannel_pool", 1),  # no channel shared with a broken predecessor
    ]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise NymphError(f"cannot read {path!r}: {error.strerror}") from None
