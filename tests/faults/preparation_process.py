"""Prepare a project's data in one warm process, again and again, killed at random moments: run as a script.

A fork of a process that has imported and compiled everything starts in milliseconds, so ten kills and ten reruns cost
what one cold command costs. Kedro's own runner carries the pipelines out with the project's own configuration.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
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


def prepare_in_fork(metadata: Any, seconds: float | None = None) -> bool:
    """Prepare in a process of its own, SIGKILLed after `seconds`; whether it came to its end."""
    child = os.fork()
    if not child:
        os.setsid()
        try:
            prepare(metadata)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.killpg(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


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
    started = time.monotonic()
    assert prepare_in_fork(metadata)
    took = time.monotonic() - started
    undisturbed, reruns = tables(data), []
    for number in range(kills):
        forget(data)
        # One moment in each tenth of the run, so that every stage is hit.
        ended = prepare_in_fork(metadata, took * (number + chance.random()) / kills)
        left = len(tables(data))
        assert prepare_in_fork(metadata)
        reruns.append({"interrupted": not ended, "left": left, "tables": tables(data)})
    print(json.dumps({"undisturbed": undisturbed, "reruns": reruns, "seconds": took}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
