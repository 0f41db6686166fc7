"""What a run owes to MLflow survives its processes."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nymph.tracking.journal import End, Journal, Start, journals, log_sizes

from .conftest import write_steps

Begin = Callable[..., Journal]


def test_the_start_is_read_back_whole(begin: Begin) -> None:
    start = Start("r", "e", "sqlite:///x", params={"a": "1"}, tags={"t": "v"}, offsets={"train": 3})
    journal = begin("r")
    again = Journal.create(journal.runs_directory, start)
    assert again.start == start


def test_a_run_goes_on_while_its_process_lives(begin: Begin) -> None:
    assert begin().ended() is None


def test_a_run_whose_process_vanished_was_killed(begin: Begin) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ended = begin(pid=gone.pid).ended()
    assert ended is not None
    assert ended.status == "KILLED"


def test_another_process_under_the_same_number_is_not_the_run(begin: Begin) -> None:
    assert begin(pid_created=1.0).ended() is not None


def test_a_run_of_another_machine_is_not_judged(begin: Begin) -> None:
    assert begin(host="elsewhere", pid_created=1.0).ended() is None


def test_the_first_word_about_the_end_stands(begin: Begin) -> None:
    journal = begin()
    journal.end(End("FAILED", "first"))
    journal.end(End("KILLED", "second"))
    assert journal.ended() == replace(journal.ended() or End("?"), status="FAILED", reason="first")


def test_one_process_at_a_time_replays(begin: Begin) -> None:
    journal = begin()
    with journal.alone() as first, journal.alone() as second:
        assert (first, second) == (True, False)
    with journal.alone() as third:
        assert third


def test_a_run_id_never_leaves_the_folder(begin: Begin, runs: Path) -> None:
    begin("../../2026-01-01T00:00:00/x")
    assert [journal.folder.parent for journal in journals(runs)] == [runs / ".tracking"]


def test_sizes_of_the_logs_that_are_there(runs: Path) -> None:
    write_steps(runs, 1, 2)
    assert log_sizes(runs) == {"train": (runs / "train" / "events.jsonl").stat().st_size}
