"""An environment of their own for the libraries that benchmarks compare with, so that their pins touch nothing here."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path


def environment(folder: Path, packages: list[str]) -> Path:
    """The Python of a virtual environment on top of this one (for torch, pyarrow, Nymph itself), made if need be."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        place = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        here = [path for path in sys.path if path.endswith("site-packages")]
        (place / "nymph.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (folder / "ready").touch()
    return python


def run_again_with(module: str, folder: Path, packages: list[str]) -> None:
    """Go on in the peers' environment where `module` is not installed in this one; does not return then."""
    if importlib.util.find_spec(module) is None:
        python = str(environment(folder, packages))
        os.execv(python, [python, *sys.argv])
