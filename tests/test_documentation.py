"""What is written down is what is there."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_configuration_page_is_what_the_models_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["document_options.py", "--check"])
    runpy.run_path(str(REPOSITORY / "scripts" / "document_options.py"), run_name="__main__")


def test_every_link_and_picture_in_the_readme_exists() -> None:
    text = (REPOSITORY / "README.md").read_text()
    places = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert places
    assert [place for place in places if not (REPOSITORY / place).exists()] == []


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", (REPOSITORY / "README.md").read_text()))
    assert named - {"cannot"} <= targets


def test_no_file_names_a_registry() -> None:
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout: nobody knows which files are the repository's")
    command = ["git", "-c", f"safe.directory={REPOSITORY}", "ls-files"]
    files = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    pattern = re.compile(rb"(pypi\.org|pythonhosted|registry\.npmjs|download\.pytorch|--(extra-)?index-url)")
    mine = Path(__file__).relative_to(REPOSITORY)
    bad = [name for name in files.split("\n") if name and Path(name) != mine and (REPOSITORY / name).is_file()
           and pattern.search((REPOSITORY / name).read_bytes())]  # fmt: skip
    assert bad == []


@pytest.mark.parametrize("page", ["training.md", "data.md", "flight.md"])
def test_every_drill_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"(test_\w+\.py)(?:::(test_\w+))?", (REPOSITORY / "docs" / page).read_text()))
    files = [(path.name, path.read_text()) for path in (REPOSITORY / "tests").rglob("test_*.py")]
    assert named
    for file, test in named:
        assert any(file == name and f"def {test}" in text for name, text in files), (file, test)
