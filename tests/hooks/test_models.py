"""A run that could not diarize does not begin."""

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from nymph.datasets.models import TranscriberDataset
from nymph.errors import NymphError
from nymph.hooks.models import ModelsHook

PIPELINE = Pipeline([Node(lambda transcriber: None, inputs="transcriber", outputs=None, name="transcribe")])


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def begin(**config: str) -> None:
    catalog = DataCatalog({"transcriber": TranscriberDataset(config=config)})
    ModelsHook().before_pipeline_run(PIPELINE, catalog)


def test_a_gated_model_is_asked_for_before_any_work() -> None:
    with pytest.raises(NymphError, match=r"Accept its licence at https://hf\.co/pyannote/nowhere"):
        begin(speakers="pyannote", diarization_model="pyannote/nowhere")


def test_offline_voices_ask_nobody() -> None:
    begin(speakers="voices", diarization_model="pyannote/nowhere")
