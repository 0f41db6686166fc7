"""A fresh project folder, and commands run in it the way a user runs them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from nymph.hooks.offline import QUIET

REPOSITORY = Path(__file__).parents[2]
KEDRO = str(Path(sys.executable).with_name("kedro"))
FEW_STEPS = "training.steps=6,training.checkpoint_every=3,training.evaluation_every=3,training.batch_rows=2"
LAPTOP = {"NYMPH_WHISPER_MODEL": "offline-tiny-en", "NYMPH_DEVICE": "cpu", "NYMPH_COMPUTE_TYPE": "int8"}
"""What stands in for the data box's models and GPU."""
QUICK = f"{FEW_STEPS},evaluation.sample_tokens=4,evaluation.samples=1"

AUDIT = """\
import os, sys
def _write(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) or event == "socket.getaddrinfo":
        where = arguments[1][0] if event == "socket.connect" else arguments[0]
        if where not in ("127.0.0.1", "::1", "localhost", None, ""):
            with open(os.environ["NYMPH_TEST_CONNECTIONS"], "a") as file:
                file.write(f"{event} {where}\\n")
sys.addaudithook(_write)
"""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    output: str

    @property
    def lines(self) -> list[str]:
        """Non-empty lines without terminal colours."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.output)
        return [line for line in plain.splitlines() if line.strip()]


@dataclass(frozen=True)
class Project:
    """A project folder with the repository's code and configuration and no data."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> "Project":
        """Lay it out."""
        root.mkdir(parents=True, exist_ok=True)
        shutil.copytree(REPOSITORY / "conf", root / "conf")
        shutil.copy(REPOSITORY / "pyproject.toml", root)
        shutil.copytree(REPOSITORY / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "audit").mkdir()
        (root / "audit" / "sitecustomize.py").write_text(AUDIT)
        return cls(root)

    def environment(self, **extra: str) -> dict[str, str]:
        """This process's environment with one thread, no colours, and an eye on connections; quiet by its own doing."""
        mine = {name: value for name, value in os.environ.items() if name not in {"HF_HUB_OFFLINE", *QUIET}}
        return mine | {
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "PYTHONPATH": str(self.root / "audit"),
            "NYMPH_TEST_CONNECTIONS": str(self.root / "connections.txt"),
            **extra,
        }

    def kedro(self, *arguments: str, timeout: float = 540, **extra: str) -> Done:
        """Run a kedro command to its end."""
        done = subprocess.run(
            [KEDRO, *arguments],
            cwd=self.root,
            env=self.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def start(self, *arguments: str, **extra: str) -> "subprocess.Popen[str]":
        """Start a kedro command in a process group of its own."""
        return subprocess.Popen(
            [KEDRO, *arguments],
            cwd=self.root,
            env=self.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def wait_for(path: Path, pattern: str, seconds: float = 300) -> Path:
    """The first file under `path` that matches, as soon as there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := sorted(path.glob(pattern)):
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} under {path} within {seconds} s")


def wait_for_another(runs: Path, before: set[Path], seconds: float = 300) -> Path:
    """The run directory that was not there before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := set(runs.glob("tiny-*")) - before:
            return found.pop()
        time.sleep(0.1)
    raise AssertionError(f"no new run in {runs} within {seconds} s")


def kill_group(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> None:
    """Signal a process started by `Project.start` and everything it started, and wait for its end."""
    os.killpg(process.pid, number)
    process.wait(120)
