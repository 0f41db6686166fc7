"""The replay: everything once, in order, whatever the server does. A stand-in keeps what MLflow would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nymph.tracking import follower
from nymph.tracking.journal import End, Journal, Start, log_sizes

from .conftest import write_end, write_steps

Begin = Callable[..., Journal]


class Shelf:
    """Keeps what was sent; fails the calls whose numbers are in `down`, before or (`late`) after doing the work."""

    def __init__(self) -> None:
        self.down: set[int] = set()
        self.late = False
        self.calls = 0
        self.steps: list[tuple[str, int]] = []
        self.status = "RUNNING"
        self.parents: dict[str, str | None] = {}

    def __call__(self, tracking_uri: str) -> "Shelf":
        return self

    def _work(self, work: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls in self.down and not self.late:
            raise ConnectionError("server away")
        done = work()
        if self.calls in self.down:
            raise ConnectionError("answer lost")
        return done

    def begin(self, start: Start, parent: str | None = None) -> str:
        self.parents[start.run] = parent
        return str(self._work(lambda: f"run-{len(self.parents)}"))

    def describe(self, run_id: str, start: Start) -> None:
        self._work(lambda: None)

    def send(self, run_id: str, events: list[dict[str, Any]], folder: Path, prefix: str = "") -> None:
        self._work(lambda: self.steps.extend((prefix, event["step"]) for event in events if event["kind"] == "step"))

    def finish(self, run_id: str, end: End) -> None:
        self._work(lambda: setattr(self, "status", end.status))


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf()
    monkeypatch.setattr(follower, "Store", shelf)
    monkeypatch.setattr(follower, "EVENTS_PER_CALL", 3)
    monkeypatch.setattr(follower, "LONGEST_BACKOFF_SECONDS", 0.01)
    return shelf


def test_everything_is_sent_and_the_run_closed(shelf: Shelf, begin: Begin, runs: Path) -> None:
    journal = begin()
    write_steps(runs, 1, 10)
    journal.end(End("FINISHED"))
    assert follower.follow(journal.folder)
    assert shelf.steps == [("", step) for step in range(1, 11)]
    assert (shelf.status, journal.sent.done) == ("FINISHED", True)


@pytest.mark.parametrize("call", range(1, 8))
def test_a_server_that_fails_any_one_call_costs_nothing(shelf: Shelf, begin: Begin, runs: Path, call: int) -> None:
    journal = begin()
    write_steps(runs, 1, 10)
    journal.end(End("FINISHED"))
    shelf.down = {call}
    assert follower.follow(journal.folder)
    assert shelf.steps == [("", step) for step in range(1, 11)]
    assert shelf.status == "FINISHED"


def test_a_lost_answer_is_asked_for_again_and_nothing_is_skipped(shelf: Shelf, begin: Begin, runs: Path) -> None:
    journal = begin()
    write_steps(runs, 1, 10)
    journal.end(End("FINISHED"))
    shelf.down, shelf.late = {4}, True
    assert follower.follow(journal.folder)
    assert sorted(set(shelf.steps)) == [("", step) for step in range(1, 11)]


def test_a_server_that_stays_away_leaves_the_debt_to_the_next_run(shelf: Shelf, begin: Begin, runs: Path) -> None:
    journal = begin("earlier")
    write_steps(runs, 1, 4)
    journal.end(End("FINISHED"))
    shelf.down = set(range(1000))
    assert not follower.follow(journal.folder, patience=0)
    assert "server away" in journal.sent.error
    shelf.down = set()
    later = begin("later", offsets=log_sizes(runs))
    later.end(End("FINISHED"))
    assert follower.follow(later.folder)
    assert shelf.steps == [("", step) for step in range(1, 5)]
    assert journal.sent.done


def test_what_was_there_before_the_run_is_not_its_own(shelf: Shelf, begin: Begin, runs: Path) -> None:
    write_steps(runs, 1, 5)
    write_steps(runs, 1, 5, run="other")
    journal = begin(offsets=log_sizes(runs))
    write_steps(runs, 6, 7)
    journal.end(End("FINISHED"))
    follower.follow(journal.folder)
    assert shelf.steps == [("", 6), ("", 7)]


def test_what_later_runs_write_is_not_sent_with_an_earlier_debt(shelf: Shelf, begin: Begin, runs: Path) -> None:
    journal = begin("earlier")
    write_steps(runs, 1, 2)
    journal.end(End("FINISHED"))
    write_steps(runs, 3, 4)
    write_steps(runs, 1, 2, run="other")
    assert follower.replay(runs) == {"earlier": True}
    assert shelf.steps == [("", 1), ("", 2)]


def test_a_second_training_in_one_run_keeps_its_own_names(shelf: Shelf, begin: Begin, runs: Path) -> None:
    journal = begin()
    write_steps(runs, 1, 1, run="a")
    write_steps(runs, 1, 1, run="b")
    journal.end(End("FINISHED"))
    follower.follow(journal.folder)
    assert shelf.steps == [("", 1), ("b/", 1)]


@pytest.mark.parametrize(
    ("end", "status"), [("finished", "FINISHED"), ("stopped", "FINISHED"), ("killed", "KILLED"), ("failed", "FAILED")]
)
def test_a_training_that_was_killed_is_no_finished_run(
    shelf: Shelf, begin: Begin, runs: Path, end: str, status: str
) -> None:
    journal = begin()
    write_end(runs, end)
    journal.end(End("FINISHED"))
    follower.follow(journal.folder)
    assert shelf.status == status


def test_a_run_that_goes_on_is_left_to_its_own_follower(shelf: Shelf, begin: Begin, runs: Path) -> None:
    begin()
    write_steps(runs, 1, 2)
    assert follower.replay(runs) == {"kedro-run": False}
    assert shelf.steps == []


def test_a_killed_run_is_closed_by_whoever_comes_next(shelf: Shelf, begin: Begin, runs: Path) -> None:
    begin(pid_created=1.0)
    write_steps(runs, 1, 2)
    assert follower.replay(runs) == {"kedro-run": True}
    assert shelf.status == "KILLED"


def test_the_trials_of_a_sweep_are_nested_in_it_and_have_only_their_own_steps(
    runs: Path, begin: Begin, shelf: Shelf
) -> None:
    sweep = begin("sweep", logs=["sweep"])
    for name in ("a", "b"):
        trial = begin(f"sweep.{name}", logs=[name], parent="sweep")
        write_steps(runs, 1, 2, run=name)
        trial.end(End("FINISHED"))
    sweep.end(End("FINISHED"))
    assert follower.follow(sweep.folder)
    assert shelf.parents == {"sweep": None, "sweep.a": "run-1", "sweep.b": "run-1"}
    assert shelf.steps == [("", 1), ("", 2)] * 2


def test_a_trial_is_told_of_while_it_is_at_work(runs: Path, begin: Begin, shelf: Shelf) -> None:
    replay = follower.Replay(begin("sweep", logs=["sweep"]))
    trial = begin("sweep.a", logs=["a"], parent="sweep")
    for step in (1, 2):
        write_steps(runs, step, step, run="a")
        assert replay._attempt(None)
        assert shelf.steps[-1] == ("", step)
    trial.end(End("FINISHED"))
    assert replay._attempt(None)
    assert (shelf.steps, shelf.status) == ([("", 1), ("", 2)], "FINISHED")


def test_a_sweep_that_goes_on_is_the_same_run(begin: Begin, shelf: Shelf) -> None:
    for _ in range(2):
        sweep = begin("sweep", logs=["sweep"])
        sweep.end(End("FINISHED"))
        assert follower.follow(sweep.folder)
    assert sweep.sent.run_id == "run-1"
