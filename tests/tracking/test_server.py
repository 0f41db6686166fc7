"""A real MLflow server killed in the middle of a run, and back later: nothing is lost, nothing is there twice."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from nymph.tracking.follower import follow
from nymph.tracking.journal import End, Journal

from .conftest import write_steps

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def start_server(database: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{database}",
        "--artifacts-destination",
        str(database.parent / "artifacts"),
    ]
    quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(command, env=quiet, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_for(lambda: urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200)
    return server


def kill(server: "subprocess.Popen[bytes]") -> None:
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def wait_for(what: Callable[[], Any], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if what():
                return
        except (URLError, OSError):
            pass
        time.sleep(0.2)
    pytest.fail("waited in vain")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.timeout(500)
def test_a_server_killed_during_a_run(database: Path, begin: Callable[..., Journal], runs: Path) -> None:
    from mlflow import MlflowClient

    port = free_port()
    journal = begin(tracking_uri=f"http://127.0.0.1:{port}")
    server = start_server(database, port)
    following = threading.Thread(target=follow, args=(journal.folder, 200.0))
    following.start()
    write_steps(runs, 1, 200)
    wait_for(lambda: journal.sent.events)
    kill(server)
    write_steps(runs, 201, 500)
    wait_for(lambda: journal.sent.error)
    server = start_server(database, port)
    write_steps(runs, 501, 600)
    journal.end(End("FINISHED"))
    following.join()
    kill(server)
    run_id = str(journal.sent.run_id)
    mlflow = MlflowClient(f"sqlite:///{database}")
    assert [point.step for point in mlflow.get_metric_history(run_id, "train/loss")] == list(range(1, 601))
    assert mlflow.get_run(run_id).info.status == "FINISHED"
