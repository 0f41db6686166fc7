"""P5: training where there is no network at all, not even a loopback interface."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..training.conftest import JobMaker, make_job  # noqa: F401, TID252

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_a_job_needs_no_network(make_job: JobMaker, tmp_path: Path) -> None:  # noqa: F811
    alone = ["unshare", "--net"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("a network of one's own needs root")
    make_job(steps=2).write(tmp_path / "job.json")
    command = [*alone, sys.executable, "-m", "nymph.training", str(tmp_path / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "finished"
