import json
from pathlib import Path

import pydantic
import pytest

from nymph.errors import NymphError
from nymph.model.config import AttentionConfig, ModelConfig
from nymph.training.job import Job, Launch, Optimiser
from nymph.training.schedule import Schedule


def make(**options: object) -> Job:
    return Job(train_rows="rows", run_directory="runs/a", checkpoint_directory="checkpoints/a", **options)  # type: ignore[arg-type]


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    model = ModelConfig(attention=AttentionConfig(type="gqa", heads=4, key_value_heads=2))
    job = make(
        model=model,
        schedule=Schedule(type="wsd"),
        optimiser=Optimiser(learning_rates={"head.*": 0.5}, freeze_modules=("a",)),
    )
    job.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job


def test_a_misspelt_key_names_its_place_and_the_nearest_one() -> None:
    values = make().to_dict()
    values["schedule"]["warmup_ration"] = 0.1
    with pytest.raises(NymphError, match=r"job\.schedule has no key 'warmup_ration'; did you mean 'warmup_ratio'\?"):
        Job.from_dict(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": "100"}, r"job\.steps must be int, got '100'"),
        ({"steps": True}, r"job\.steps must be int, got True"),
        ({"precision": "fp8"}, r"job\.precision must be one of 'auto'"),
        ({"optimiser": {"betas": [0.9]}}, r"job\.optimiser\.betas must have 2 values, got 1"),
        ({"model": 3}, r"job\.model must be an object"),
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"patience": 2}, "patience needs validation_rows"),
        ({"offload_activations": True}, "offload_activations needs gradient_checkpointing"),
    ],
)
def test_a_wrong_value_is_one_clear_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(NymphError, match=message):
        Job.from_dict(make().to_dict() | change)


def test_missing_keys_are_named() -> None:
    with pytest.raises(NymphError, match="job lacks 'run_directory', 'checkpoint_directory'"):
        Job.from_dict({"train_rows": "rows"})


def test_whole_numbers_are_fine_where_a_float_is_meant() -> None:
    assert Job.from_dict(make().to_dict() | {"clip": 2}).clip == 2.0


def test_an_unreadable_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(NymphError, match="cannot read job file"):
        Job.read(tmp_path / "job.json")


def test_several_machines_need_a_meeting_place() -> None:
    with pytest.raises(NymphError, match=r"launch\.rendezvous"):
        Launch(nodes=2)


@pytest.mark.parametrize(
    ("devices", "message"),
    [(("cpu",), "names 1 devices, launch.ranks is 2"), (("cpu", "cuda:0"), "all of one kind")],
)
def test_devices_that_cannot_train_together_are_refused(devices: tuple[str, ...], message: str) -> None:
    with pytest.raises(NymphError, match=message):
        Launch(ranks=2, devices=devices)


def test_pydantic_nests_the_job_and_forbids_unknown_keys() -> None:
    adapter = pydantic.TypeAdapter(Job)
    assert adapter.validate_python(json.loads(json.dumps(make().to_dict()))) == make()
    with pytest.raises(pydantic.ValidationError, match="learning_rat"):
        adapter.validate_python(make().to_dict() | {"optimiser": {"learning_rat": 1}})


def test_the_run_is_named_by_its_directory() -> None:
    assert make().run == "a"


def test_a_token_would_be_written_to_disk() -> None:
    with pytest.raises(NymphError, match=r"use connection\.token_file"):
        Job(train_rows="a", run_directory="b", checkpoint_directory="c", connection={"token": "secret"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"launch": Launch(ranks=2, stages=(3, 3))}, "expected the model's"),
        ({"launch": Launch(ranks=3, stages=(1, 1))}, "on 3 x 1"),
        ({"launch": Launch(ranks=2, stages=(1, 1))}, "equal micro-batches"),
    ],
)
def test_stages_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(NymphError, match=message):
        make(model=ModelConfig(layers=2), **options)


def test_two_ways_of_exchanging_are_refused() -> None:
    with pytest.raises(NymphError, match="not two together"):
        Launch(sharding="full", compression="bf16")
