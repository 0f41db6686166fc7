"""The form of what a command says."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from nymph import console
from nymph.errors import NymphError
from nymph.output import VARIABLE, output, record, set_output
from nymph.stages import Item, Made, Tally, Work
from nymph.summary import Stage, print_summary


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setenv(VARIABLE, "rich")
    monkeypatch.setattr(console, "_console", [])
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("nymph").setLevel(logging.NOTSET)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def work() -> Work:
    return Work("features", [Item("a", "k"), Item("b", "k")], lambda items: (Made(item, 1) for item in items))


def test_work_in_json_ends_in_its_counts(capsys: pytest.CaptureFixture[str]) -> None:
    set_output("json")
    list(console.carry_out(work(), lambda item: item.id == "a"))
    last = lines(capsys)[-1]
    assert last | {"time": 0} == {
        "time": 0, "kind": "progress", "stage": "features", "items": 2, "made": 1, "reused": 1, "quarantined": 0,
    }  # fmt: skip


def test_log_lines_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_output("json")
    logging.getLogger("nymph.x").warning("low %s", "disk")
    (line,) = lines(capsys)
    assert (line["kind"], line["level"], line["logger"], line["message"]) == ("log", "warning", "nymph.x", "low disk")


def test_quiet_says_one_line_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    set_output("quiet")
    console.announce("ingestion")
    list(console.carry_out(work(), lambda item: False))
    print_summary({"features": Stage(1.0, 1, {"frames": Tally(items=2, made=2)})}, {}, 12.0, None)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Done in 12 s. 2 items made.\n")


def test_the_summary_in_json_has_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    set_output("json")
    print_summary({"features": Stage(1.0, 1, {"frames": Tally(items=2, made=1, failed=1)})}, {}, 12.0, None)
    (line,) = lines(capsys)
    assert line["stages"] == {
        "features": {"in": "2", "out": "1", "made": "1", "reused": "0", "quarantined": "1", "seconds": "1.0"}
    }


def test_people_get_no_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_console", [Console(file=io.StringIO())])
    record("progress", stage="features")
    assert capsys.readouterr().out == ""


def test_an_unknown_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "loud")
    with pytest.raises(NymphError, match="expected one of rich, quiet, json"):
        output()
