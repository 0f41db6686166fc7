import pytest

from nymph.training.events import EVENTS, read_events
from nymph.training.forecast import Forecast, Prediction
from nymph.training.loop import train

from .conftest import JobMaker

GIVEN = Prediction(source="estimate", step_seconds=2.0, evaluation_seconds=10.0)


@pytest.mark.parametrize(("steps", "every", "evaluations"), [(10, 0, 2), (10, 5, 3), (11, 5, 4)])
def test_a_prediction_counts_every_evaluation(steps: int, every: int, evaluations: int) -> None:
    assert GIVEN.seconds(0, steps, steps, every) == steps * 2 + evaluations * 10


def test_the_parts_of_a_run_take_as_long_as_the_whole() -> None:
    parts = GIVEN.seconds(0, 4, 11, 3) + GIVEN.seconds(4, 9, 11, 3) + GIVEN.seconds(9, 11, 11, 3)
    assert parts == GIVEN.seconds(0, 11, 11, 3)


def test_at_step_50_the_end_is_known_within_15_percent() -> None:
    forecast = Forecast(steps=200, evaluation_every=50, first=0)
    forecast.evaluation(4.0)
    taken = 4.0
    for step in range(1, 201):
        seconds = 5.0 if step == 1 else 1.0 + 0.2 * (step % 3)  # the first is slow, the others uneven
        taken += seconds + 4.0 * (step % 50 == 0)
        told = forecast.step(step, seconds)
        assert told == (step == 20)
        if step % 50 == 0:
            forecast.evaluation(4.0)
    outcome = forecast.outcome(200, taken, memory_bytes=1)
    assert outcome is not None
    assert abs(outcome.error) < 0.15


def test_every_run_says_how_wrong_its_prediction_was(make_job: JobMaker) -> None:
    job = make_job(prediction=GIVEN)
    outcome = train(job).prediction
    assert outcome is not None
    assert outcome.predicted_seconds == 6 * 2 + 3 * 10
    assert outcome.error == pytest.approx(outcome.seconds / outcome.predicted_seconds - 1)
    kinds = [event["kind"] for event in read_events(f"{job.run_directory}/{EVENTS}")]
    assert kinds[-2:] == ["prediction", "end"]
    alone = train(make_job("alone", steps=8)).prediction
    assert alone is not None
    assert alone.source == "first steps"
