"""A real MLflow server killed in the middle of a run, and back later: nothing is lost, nothing is there twice."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

from nymph.tracking.follower import follow
from nymph.tracking.journal import End, Journal
from tests.ports import held_port

from .conftest import write_steps

pytestmark = [pytest.mark.slow, pytest.mark.faults]


class MlflowServer:
    """Serves a database at a port; may be killed and started again."""

    def __init__(self, database: Path, port: int) -> None:
        self.database, self.port = database, port

    def start(self) -> None:
        """Return once it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(self.database.parent / "artifacts")]
        quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(command, env=quiet, start_new_session=True, stderr=subprocess.DEVNULL)
        wait_for(self._healthy)

    def kill(self) -> None:
        """kill -9 of it and all it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _healthy(self) -> bool:
        assert self._process.poll() is None, "the server ended while starting"
        try:
            browser = build_opener(ProxyHandler({}))
            return bool(browser.open(f"http://127.0.0.1:{self.port}/health", timeout=10).status == 200)
        except OSError:
            return False


def wait_for(what: Callable[[], Any], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@pytest.fixture
def server(database: Path) -> Iterator[MlflowServer]:
    with held_port() as port:
        server = MlflowServer(database, port)
        server.start()
        yield server
        server.kill()


@pytest.mark.timeout(900)
def test_a_server_killed_during_a_run(server: MlflowServer, begin: Callable[..., Journal], runs: Path) -> None:
    from mlflow import MlflowClient

    journal = begin(tracking_uri=f"http://127.0.0.1:{server.port}")
    following = threading.Thread(target=follow, args=(journal.folder, 300.0), daemon=True)
    following.start()
    write_steps(runs, 1, 200)
    wait_for(lambda: journal.sent.events)
    server.kill()
    write_steps(runs, 201, 500)
    wait_for(lambda: journal.sent.error)
    server.start()
    write_steps(runs, 501, 600)
    journal.end(End("FINISHED"))
    following.join()
    server.kill()
    run_id = str(journal.sent.run_id)
    mlflow = MlflowClient(f"sqlite:///{server.database}")
    assert [point.step for point in mlflow.get_metric_history(run_id, "train/loss")] == list(range(1, 601))
    assert mlflow.get_run(run_id).info.status == "FINISHED"
