"""A real browser and a real server, for the tests that need them.

Needs Debian's `chromium` and the npm packages (`npm ci`); without them the tests say so and are skipped.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from nymph.dashboard.serve import _listen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Server:
    """A dashboard that can be stopped and started again at the same address."""

    def __init__(self, runs: Path) -> None:
        listener = _listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        listener.close()
        self.address = f"http://127.0.0.1:{self.port}"
        self.key = ""
        """Printed at the start, needed for commands."""
        self._command = [sys.executable, "-m", "nymph.dashboard", str(runs), "--port", str(self.port)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self.address in self._process.stdout.readline()
        self.key = self._process.stdout.readline().strip().partition("#key=")[2]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
