"""A real browser and real servers, for the tests that need them.

Needs Debian's `chromium` and the npm packages (`npm ci`); without them the tests say so and are skipped.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn

from nymph.dashboard.app import create_app
from nymph.dashboard.serve import configure, listen
from tests.ports import held_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # a container may have 64 MiB of it, and a page that needs more dies
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MILLISECONDS = 120_000
"""For whatever a browser is waited for: how fast it is, is no business of these tests."""
KEY = "a-key-of-eighteen-"


@contextmanager
def serving(runs: Path, project: Path | None = None) -> Iterator[str]:
    """The address of a dashboard over `runs` in a thread of this process, with `KEY` for commands."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(configure(create_app(runs, project=project, key=KEY, period=0.02)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


class Server:
    """A dashboard in a process of its own, which can be stopped and started again at the same address."""

    def __init__(self, runs: Path, project: Path | None = None, prelude: str = "", **environment: str) -> None:
        self._resources = ExitStack()
        self.port = self._resources.enter_context(held_port())
        self.address = f"http://127.0.0.1:{self.port}"
        self._project, self._environment = project, os.environ | environment
        main = "import sys; from nymph.dashboard.__main__ import main; sys.exit(main(sys.argv[1:]))"
        self._command = [sys.executable, "-c", f"{prelude}\n{main}", str(runs), "--port", str(self.port)]
        self.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, cwd=self._project, env=self._environment
        )
        assert self._process.stdout is not None
        assert self.address in self._process.stdout.readline()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def close(self) -> None:
        self.stop()
        self._resources.close()
