"""What is asked of a run in flight is done after the next step."""

from pathlib import Path

import pytest

from nymph.errors import NymphError
from nymph.training.control import Control, ask
from nymph.training.events import EVENTS, read_events
from nymph.training.loop import train

from .conftest import JobMaker


class Asking:
    """A progress that asks for something once a step is done."""

    def __init__(self, run_directory: str, request: str, step: int) -> None:
        self._run_directory, self._request, self._step = run_directory, request, step

    def start(self, step: int, total: int, text: str) -> None: ...

    def step(self, event: dict[str, int]) -> None:
        if event["step"] == self._step:
            ask(self._run_directory, self._request)

    def message(self, text: str) -> None: ...

    def end(self, text: str) -> None: ...


def test_a_run_that_is_asked_to_stop_stops_after_its_step_and_goes_on_another_time(make_job: JobMaker) -> None:
    job = make_job(steps=6)
    stopped = train(job, Asking(job.run_directory, "stop", 2))  # type: ignore[arg-type]
    assert (stopped.status, stopped.steps) == ("stopped", 2)
    assert train(job).steps == 6


def test_a_checkpoint_is_saved_when_it_is_asked_for(make_job: JobMaker) -> None:
    job = make_job(steps=6, checkpoint_every=0, evaluation_every=0)
    train(job, Asking(job.run_directory, "checkpoint", 2))  # type: ignore[arg-type]
    events = list(read_events(Path(job.run_directory) / EVENTS))
    first, last = (event["step"] for event in events if event["kind"] == "checkpoint")
    assert (first in (2, 3), last) == (True, 6)  # ranks that share a state agree on it first, which takes a step
    assert [event["request"] for event in events if event["kind"] == "control"] == ["checkpoint"]


def test_what_was_asked_before_the_run_began_is_void(tmp_path: Path) -> None:
    ask(tmp_path, "stop")
    control = Control(tmp_path)
    ask(tmp_path, "checkpoint")
    assert control.asked() == ["checkpoint"]
    assert control.asked() == []


def test_an_unknown_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="checkpoint or stop"):
        ask(tmp_path, "delete")
