"""`kedro --help` answers at once, since naming a command imports nothing heavy."""

import subprocess
import sys

HEAVY = ("torch", "numpy", "pyarrow", "polars", "mlflow", "transformers", "tokenizers", "av")


def test_naming_every_command_imports_nothing_heavy():
    code = (
        "import importlib, sys, nymph.cli\n"
        "[importlib.import_module(path.rpartition('.')[0]) for path in nymph.cli.COMMANDS.values()]\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
