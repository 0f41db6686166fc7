import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nymph.errors import NymphError
from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.diarization import PyannoteDiarizer, check_pyannote, diarizers, load_pyannote
from nymph.transcription.models import packaged_file
from nymph.transcription.schema import Utterance, Word
from nymph.transcription.speakers import SpeakerRegistry


def pipeline(block: np.ndarray, return_embeddings: bool):
    turns = pd.DataFrame({"start": [0.0, 1.0], "end": [1.0, 2.0], "speaker": ["A", "B"]})
    return turns, {"A": np.eye(256)[0], "B": np.eye(256)[9]}


def test_an_utterance_is_cut_where_the_speaker_changes() -> None:
    words = tuple(Word(word, i * 0.5, i * 0.5 + 0.5, None, "aligned") for i, word in enumerate(["a", "b", "c", "d"]))
    diarizer = PyannoteDiarizer(pipeline, SpeakerRegistry(0.3))
    parts = diarizer.assign(np.zeros(32_000, np.float32), [Utterance(words, "en")])
    assert [(part.text, part.speaker) for part in parts] == [("a b", "speaker-1"), ("c d", "speaker-2")]


def test_a_word_outside_all_turns_has_no_speaker() -> None:
    diarizer = PyannoteDiarizer(pipeline, SpeakerRegistry(0.3))
    (part,) = diarizer.assign(np.zeros(32_000, np.float32), [Utterance((Word("x", 5, 6, None, "aligned"),), "en")])
    assert part.speaker is None


@pytest.mark.parametrize("ask", [check_pyannote, lambda model: load_pyannote(model, "cpu")])
def test_a_gated_model_that_is_not_there_names_the_page(monkeypatch, ask) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(NymphError, match=r"https://hf\.co/pyannote/nowhere, set HF_TOKEN \(now not set\)"):
        ask("pyannote/nowhere")


def test_a_licence_that_was_not_accepted_is_found_without_loading_anything(monkeypatch) -> None:
    def refuse(model: str, token: str | None) -> None:
        raise OSError(f"403: {model} is gated")

    monkeypatch.setattr("huggingface_hub.auth_check", refuse)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    with pytest.raises(NymphError, match=r"Accept its licence at .*now set"):
        check_pyannote("pyannote/nowhere")


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="folder of a whole pyannote pipeline, or use speakers: voices"):
        load_pyannote(str(tmp_path), "cpu")


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pyannote's own diarization over the segmentation that WhisperX packages; only its voices are random."""
    folder = tmp_path_factory.mktemp("pyannote")
    save_random_voices(folder / "voices.ckpt")
    np.savez(folder / "xvec_transform.npz", mean1=np.zeros(256), mean2=np.zeros(128), lda=np.eye(256, 128))
    np.savez(folder / "plda.npz", mu=np.zeros(128), tr=np.eye(128), psi=np.arange(128.0, 0, -1))
    (folder / "config.yaml").write_text(f"""
version: 4.0.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    segmentation: {packaged_file("whisperx", "assets", "pytorch_model.bin")}
    embedding: {folder / "voices.ckpt"}
    plda: {folder}
    clustering: AgglomerativeClustering
params:
  segmentation: {{threshold: 0.5, min_duration_off: 0.0}}
  clustering: {{method: centroid, min_cluster_size: 1, threshold: 0.7}}
""")
    return folder


def save_random_voices(path: Path) -> None:
    import lightning.pytorch as lightning
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import WeSpeakerResNet34

    torch.manual_seed(0)
    model = WeSpeakerResNet34()
    model.specifications = Specifications(problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0)
    trainer = lightning.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(model)
    with warnings.catch_warnings(action="ignore"):
        trainer.save_checkpoint(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pyannotes_pipeline_says_who_speaks(pipeline_folder: Path, conversation: np.ndarray) -> None:
    config = TranscriptionConfig(speakers="pyannote", diarization_model=str(pipeline_folder))
    diarizer = diarizers(config, "cpu")()
    words = tuple(Word(f"w{i}", i * 0.5, i * 0.5 + 0.4, None, "aligned") for i in range(10))
    parts = diarizer.assign(conversation[200_000:286_000], [Utterance(words, "en")])  # somebody speaks all the time
    assert [word for part in parts for word in part.words] == list(words)
    heard = [part.speaker for part in parts if part.speaker]
    assert heard
    assert all(re.fullmatch(r"speaker-\d+", name) for name in heard)


def test_nobody_asks() -> None:
    assert diarizers(TranscriptionConfig(speakers="none"), "cpu")() is None
