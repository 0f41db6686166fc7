"""Run the dashboard: find a port, refuse to be exposed without a token, say where it is."""

import os
import resource
import secrets
import socket
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from nymph.dashboard.app import MAX_CLIENTS, create_app
from nymph.dashboard.guard import LOOPBACK
from nymph.dashboard.live import MAX_MESSAGE_BYTES
from nymph.dashboard.options import PORT
from nymph.dashboard.protocol import PatientProtocol, PromptProtocol
from nymph.dashboard.samples import Corpus
from nymph.errors import NymphError

SEND_BUFFER_BYTES = 1 << 18
"""Of each connection, in the kernel: what a client that reads nothing can hold there before it is noticed."""
PRIORITY = 10
"""Niceness: where a trainer wants every core, pages come later and steps do not."""
_FURTHER_PORTS = 20
_OPEN_FILES = MAX_CLIENTS + 1000


def serve(
    runs_directory: Path,
    host: str = "127.0.0.1",
    port: int = PORT,
    *,
    token: str | None = None,
    names: tuple[str, ...] = (),
    project: Path | None = None,
    corpus: Corpus | None = None,
) -> None:
    """Serve until interrupted. A taken port gives way to the next free one.

    Args:
        runs_directory: Holds `<run>/events.jsonl`.
        host: Address to listen at; one that others can reach needs a token.
        port: The first to try; 0 lets the system choose.
        token: At least 16 characters, asked for by the login page. None makes one up that is needed for commands
            alone, and prints the address that brings it along.
        names: Further host names by which browsers reach this machine.
        project: Where Chart.js is installed.
        corpus: Where the recordings of samples are.

    Raises:
        NymphError: No free port, no Chart.js, or an exposed address without a token.
    """
    if host not in LOOPBACK and (token is None or len(token) < 16):
        raise NymphError(
            f"{host} can be reached from other machines, so the dashboard needs a token of at least 16 characters "
            "(NYMPH_DASHBOARD_TOKEN), or --host 127.0.0.1 and an ssh tunnel"
        )
    key = token or secrets.token_urlsafe(18)
    app = create_app(
        runs_directory,
        project=project,
        key=key,
        open_to_all=token is None,
        corpus=corpus,
        hosts=(*LOOPBACK, host, *names),
    )
    listener = listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    print(f"Dashboard of {runs_directory} at {address}  (Ctrl-C ends it)", flush=True)
    if token is None:
        print(f"  with buttons that save a checkpoint or stop a run: {address}/#key={key}", flush=True)
    _permit_many_connections()
    os.nice(max(0, PRIORITY - os.nice(0)))
    uvicorn.Server(configure(app)).run(sockets=[listener])


def configure(app: Starlette) -> uvicorn.Config:
    """How uvicorn is to serve `app`."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        http=PatientProtocol,
        ws=PromptProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # compressing each client's message would cost more than the loopback saves
        server_header=False,
        timeout_graceful_shutdown=3,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the first free port from `port` on; NymphError where there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = port if port == 0 else min(65_535, port + _FURTHER_PORTS)
    for candidate in range(port, last + 1):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            listener.bind((host, candidate))
            listener.listen(1024)
            return listener
        except OSError as error:
            listener.close()
            reason = error
    raise NymphError(
        f"the dashboard found no free port at {host} from {port} to {last}: {reason}; choose another --port"
    )


def _permit_many_connections() -> None:
    """Every client is an open file, and many machines permit 1,024 of them until asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
