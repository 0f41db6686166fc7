"""What benchmarks read: the folder NYMPH_BENCH_DATA, else `shared/data` beside this checkout, else what Python ships.

The folder holds recordings with transcripts and `text/tinyshakespeare.txt`. Standard library only.
"""

import ast
import os
import sysconfig
from pathlib import Path


def data_folder() -> Path | None:
    """The folder of recordings and texts, where there is one."""
    folder = Path(os.environ.get("NYMPH_BENCH_DATA") or Path(__file__).parents[2] / "shared" / "data")
    return folder if folder.is_dir() else None


def text_of(path: Path | None = None) -> str:
    """The text of a file; without one that of the data folder, or all docstrings of the standard library."""
    folder = data_folder()
    if path is None and folder is not None and (folder / "text" / "tinyshakespeare.txt").exists():
        path = folder / "text" / "tinyshakespeare.txt"
    return "\n\n".join(_docstrings()) if path is None else path.read_text("utf-8")


def _docstrings() -> list[str]:
    """Of the standard library, in the order of its files."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented))
        texts += [text for text in found if text]
    return texts
