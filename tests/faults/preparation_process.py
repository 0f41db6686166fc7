"""Prepare a project's data in one warm process, again and again, killed at random moments: run as a script.

A fork of a process that has imported and compiled everything starts in milliseconds, so ten kills and ten reruns cost
what one cold command costs. Kedro's own runner carries the pipelines out with the project's own configuration.
Moments are counted in files touched, not in seconds: how fast the machine is does not change what a kill hits.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project
from kedro.runner import SequentialRunner

from nymph.cli.project import load_catalog
from nymph.files import sha256_file

STAGES = ("ingestion", "transcription", "features")


def prepare(metadata: Any) -> None:
    """Ingestion to utterance features, in this process."""
    chosen = sum((pipelines[name] for name in STAGES[1:]), pipelines[STAGES[0]])
    SequentialRunner().run(chosen, load_catalog(metadata, None))


def watch(data: Path, touched: Callable[[], None]) -> None:
    """From now on call `touched` whenever this process is about to open, rename or delete something in `data`."""
    prefix = str(data)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"open", "os.rename", "os.remove"} and str(arguments[0]).startswith(prefix):
            touched()

    sys.addaudithook(hook)


def prepare_in_fork(metadata: Any, data: Path, kill_at: int | None = None) -> tuple[bool, int]:
    """Prepare in a process of its own, SIGKILLed at its touch `kill_at`; whether it ended itself, and its touches."""
    count = multiprocessing.RawValue("q", 0)

    def touched() -> None:
        count.value += 1
        if count.value == kill_at:
            os.killpg(0, signal.SIGKILL)

    child = os.fork()
    if not child:
        os.setsid()
        watch(data, touched)
        try:
            prepare(metadata)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0, count.value


def tables(data: Path) -> dict[str, str]:
    """Everything that preparation wrote -> its content."""
    files = (file for file in sorted(data.rglob("*")) if file.is_file() and "01_raw" not in file.parts)
    return {str(file.relative_to(data)): sha256_file(file) for file in files}


def forget(data: Path) -> None:
    """Delete everything that preparation wrote."""
    for folder in data.iterdir():
        if folder.name != "01_raw":
            shutil.rmtree(folder)


def main(project: Path, kills: int) -> None:
    """Print one JSON object: the undisturbed tables, and for each kill what it interrupted and the rerun's tables."""
    metadata, data, chance = bootstrap_project(project), project / "data", random.Random(0)
    prepare(metadata)
    forget(data)
    ended, touches = prepare_in_fork(metadata, data)
    assert ended
    undisturbed, reruns = tables(data), []
    for number in range(kills):
        forget(data)
        # One moment in each tenth of the run, so that every stage is hit.
        ended, _ = prepare_in_fork(metadata, data, 1 + int(touches * (number + chance.random()) / kills))
        left = len(tables(data))
        assert prepare_in_fork(metadata, data)[0]
        reruns.append({"interrupted": not ended, "left": left, "tables": tables(data)})
    print(json.dumps({"undisturbed": undisturbed, "reruns": reruns, "touches": touches}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
