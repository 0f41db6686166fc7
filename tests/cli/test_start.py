"""`kedro --help` answers at once, since naming a command imports nothing heavy."""

import subprocess
import sys

from nymph.cli import COMMANDS

HEAVY = ("torch", "numpy", "pyarrow", "polars", "mlflow", "transformers", "tokenizers", "av")


def loaded(code: str, modules: tuple[str, ...]) -> str:
    """Which of these modules a fresh interpreter has after `code`."""
    code += f"; import sys; print([name for name in {modules} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_naming_every_command_imports_nothing_heavy() -> None:
    paths = [path.rpartition(".")[0] for path in COMMANDS.values()]
    assert loaded(f"import importlib; [importlib.import_module(path) for path in {paths}]", HEAVY) == "[]"


def test_pipelines_that_do_not_train_do_without_torch() -> None:
    code = (
        "from kedro.framework.project import configure_project, pipelines; configure_project('nymph'); len(pipelines)"
    )
    assert loaded(code, ("torch",)) == "[]"
