from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from nymph.training.emergency import saves_alone
from nymph.training.job import Launch
from nymph.training.world import World

from .conftest import JobMaker

BUG, ALONE = ValueError("a bug"), RuntimeError("[gloo/transport/tcp/pair.cc:535] Connection closed by peer")


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> list[World]:
    monkeypatch.setattr(World, "store", HashStore())
    return [World(torch.device("cpu"), rank, 3) for rank in range(3)]


def test_one_of_those_that_fail_at_once_saves(make_job: JobMaker, ranks: list[World]) -> None:
    job = make_job(launch=Launch(ranks=3))
    assert [saves_alone(job, world, 5, BUG) for world in ranks[::-1]] == [True, False, False]
    assert saves_alone(job, ranks[0], 6, BUG)


def test_of_those_left_alone_rank_0_saves(make_job: JobMaker, ranks: list[World]) -> None:
    job = make_job(launch=Launch(ranks=3))
    assert [saves_alone(job, world, 5, ALONE) for world in ranks[::-1]] == [False, False, True]


@pytest.mark.parametrize("options", [{"sharding": "optimizer"}, {"stages": (1, 1)}], ids=["shards", "stages"])
def test_a_part_of_the_model_is_no_checkpoint(make_job: JobMaker, ranks: list[World], options: dict[str, Any]) -> None:
    job = make_job(launch=Launch(ranks=2, **options), gradient_accumulation=3)
    assert not any(saves_alone(job, world, 5, BUG) for world in ranks)


def test_a_rank_without_the_disk_or_the_weights_of_rank_0_does_not_save(
    make_job: JobMaker, ranks: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not saves_alone(make_job(launch=Launch(ranks=3, synchronise_every=2)), ranks[1], 5, BUG)
    monkeypatch.setenv("GROUP_RANK", "1")
    assert not saves_alone(make_job(launch=Launch(ranks=3)), ranks[1], 5, BUG)


def test_a_step_that_is_on_disk_is_not_saved_again(make_job: JobMaker, ranks: list[World]) -> None:
    job = make_job(launch=Launch(ranks=3))
    Path(job.checkpoint_directory, "step-00000005").mkdir(parents=True)
    assert not saves_alone(job, ranks[1], 5, BUG)
