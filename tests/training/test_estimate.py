from pathlib import Path

import pytest

from nymph.errors import NymphError
from nymph.training.estimate import estimate_run
from nymph.training.loop import train

from .conftest import JobMaker, T


def test_an_estimate_counts_what_the_run_then_does(make_job: JobMaker) -> None:
    job = make_job(steps=20, batch_rows=4)
    guess, report = estimate_run(job, probe_seconds=0.2), train(job)
    assert guess.tokens == report.tokens
    assert guess.epochs == 4.0
    tensors = sum(
        (Path(str(report.checkpoint)) / name).stat().st_size for name in ("model.safetensors", "optimizer.safetensors")
    )
    assert guess.checkpoint_bytes == pytest.approx(tensors, rel=0.15)  # the files' headers, for so small a model
    assert guess.seconds == pytest.approx(20 * guess.step_seconds + 8 * guess.evaluation_seconds)
    assert guess.probed_steps >= 1


def test_an_estimate_leaves_nothing_behind(make_job: JobMaker) -> None:
    job = make_job()
    estimate_run(job, probe_seconds=0.0)
    assert not Path(job.run_directory).exists()
    assert not Path(job.checkpoint_directory).exists()


def test_two_rows_tell_of_a_step_that_takes_too_long(make_job: JobMaker) -> None:
    guess = estimate_run(make_job(steps=20, batch_rows=4), probe_seconds=0.0)
    assert guess.probed_rows == 2
    assert guess.tokens == 20 * 4 * T
    assert guess.tokens_per_second == pytest.approx(4 * T / guess.step_seconds)


def test_what_cannot_train_cannot_be_estimated(make_job: JobMaker) -> None:
    with pytest.raises(NymphError, match="no table at"):
        estimate_run(make_job(train_rows="nowhere"))
