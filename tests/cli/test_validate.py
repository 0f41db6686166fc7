"""`kedro validate`: exit codes, what it prints, and the page it writes."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project

from nymph.cli.validate import validate

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def run() -> object:
    metadata = bootstrap_project(REPOSITORY)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(validate, list(arguments), obj=metadata)

    return invoke


def test_good_data_exits_with_0(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "good.jsonl").write_text('{"text": "fine"}\n')
    done = run(str(tmp_path / "good.jsonl"))
    assert done.exit_code == 0, done.output
    assert "1 in = 1 used + 0 quarantined" in done.output


def test_bad_data_exits_with_1_and_is_named_safely(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "bad\x1b[2J.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    done = run(str(tmp_path), "--report", str(tmp_path / "out" / "report.html"))
    assert done.exit_code == 1
    assert "bad\\x1b[2J.jsonl:2: bad_json" in done.output
    assert "bad_json" in (tmp_path / "out" / "report.html").read_text()


def test_nothing_there_exits_with_2(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run(str(tmp_path / "none")).exit_code == 2
