"""A run as its log tells it."""

from pathlib import Path
from typing import Any

from nymph.dashboard.run import SILENCE_SECONDS, Run


def run_of(*events: dict[str, Any]) -> Run:
    run = Run(Path("somewhere/first"))
    for seq, event in enumerate(events):
        run.apply({"seq": seq, "time": 1000.0 + seq} | event)
    return run


def steps(first: int, last: int) -> list[dict[str, Any]]:
    return [{"kind": "step", "step": step, "loss": float(step)} for step in range(first, last + 1)]


def test_status_follows_the_log() -> None:
    run = run_of({"kind": "start", "step": 0}, *steps(1, 3))
    assert run.status(1004.0) == "running"
    assert run.status(1004.0 + 2 * SILENCE_SECONDS) == "silent"
    run.apply({"seq": 9, "time": 1009.0, "kind": "end", "status": "stopped", "step": 3, "reason": "SIGTERM"})
    assert run.status(9999.0) == "stopped"


def test_a_resumed_run_replaces_the_steps_that_were_lost() -> None:
    run = run_of({"kind": "start", "step": 0}, *steps(1, 5), {"kind": "resume", "step": 3}, *steps(4, 4))
    assert list(run.series["train/loss"].steps) == [1, 2, 3, 4]
    assert run.resumes == 1


def test_who_knew_the_lost_steps_is_sent_everything_again() -> None:
    run = run_of({"kind": "start", "step": 0}, *steps(1, 5))
    known = run.generation
    assert run.points(known, run.seq)["series"] == {}
    run.apply({"seq": 7, "time": 1007.0, "kind": "resume", "step": 3})
    again = run.points(known, 6)
    assert again["reset"]
    assert again["series"]["train/loss"][0] == [1, 2, 3]


def test_a_restart_that_lost_nothing_keeps_its_points() -> None:
    run = run_of(*steps(1, 3), {"kind": "start", "step": 3}, {"kind": "resume", "step": 3})
    assert run.resumes == 0


def test_events_no_trainer_writes_are_passed_over() -> None:
    run = run_of({"kind": "step", "step": 2**70, "loss": 1.0}, {"kind": ["odd"]}, *steps(1, 2))
    assert list(run.series["train/loss"].steps) == [1, 2]


def test_time_left_is_told_while_running_only() -> None:
    run = run_of({"kind": "start", "step": 0, "total_steps": 12}, *steps(1, 10))
    assert run.summary(1011.0)["left"] == 2.0
    run.apply({"seq": 99, "time": 1012.0, "kind": "end", "status": "failed", "step": 10})
    assert run.summary(1013.0)["left"] is None
