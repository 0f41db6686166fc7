"""kill -9 preparation at ten random moments: the rerun ends in the tables of an undisturbed run, byte for byte."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.project import REPOSITORY, Project
from tests.ingestion.conftest import tone

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(1500)]
KILLS = 10


def fill(raw: Path) -> None:
    """Recordings whose transcripts came with them, so that nothing waits for a speech model; texts and chats."""
    for number in range(6):
        tone(raw / f"{number}.wav", 1.5, 110 + 20 * number)
        (raw / f"{number}.stm").write_text(f"{number} 1 Ann 0.2 1.3 this is number {number}\n")
        (raw / f"{number}.md").write_text(f"Text number {number}.")
    (raw / "broken.wav").write_bytes(b"RIFF")
    (raw / "chats.jsonl").write_text('{"text": "one"}\n{"text": \n{"text": "three"}\n')
    (raw / ".sample-offered").touch()


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    project = Project.create(tmp_path_factory.mktemp("kills") / "project")
    fill(project.root / "data/01_raw")
    command = [sys.executable, "-m", "tests.faults.preparation_process", str(project.root), str(KILLS)]
    paths = f"{project.root / 'src'}:{REPOSITORY}"
    done = subprocess.run(
        command, cwd=project.root, env=project.environment(PYTHONPATH=paths), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_kill_came_in_the_middle(drill: dict[str, Any]) -> None:
    assert all(rerun["interrupted"] for rerun in drill["reruns"])
    left = {rerun["left"] for rerun in drill["reruns"]}
    assert len(left) >= 6, "the kills did not hit different stages"


def test_every_rerun_ends_in_the_tables_of_an_undisturbed_run(drill: dict[str, Any]) -> None:
    assert len(drill["undisturbed"]) > 30
    for rerun in drill["reruns"]:
        assert rerun["tables"] == drill["undisturbed"]
