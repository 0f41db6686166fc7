"""What kedro-viz shows of rows and pictures, and that a catalog entry without data shows nothing."""

import base64
from pathlib import Path

import pyarrow as pa
import pytest

from nymph.datasets.frames import FramesDataset
from nymph.datasets.picture import PictureDataset
from nymph.datasets.runs import RunsDataset
from nymph.datasets.sequences import SequencesDataset
from nymph.datasets.tokenizer import TokenizerTableDataset
from nymph.pipelines.parquet.nodes import draw_sequences, pack_sequences, publish_tokenizer
from nymph.pipelines.parquet.options import ParquetOptions
from nymph.sequences.units import Codebook
from nymph.stages import Item, Made, Work
from nymph.stores.items import StoredItems
from nymph.stores.utterances import Utterances, write_utterances
from nymph.text.tokenizer import Tokenizer, TokenizerOptions, train_tokenizer
from nymph.training.events import EventLog
from tests.sequences.conftest import SENTENCES, make_utterance


@pytest.fixture
def tokenizer() -> Tokenizer:
    return train_tokenizer(SENTENCES * 3, TokenizerOptions(vocabulary_size=450))


@pytest.fixture
def train(tmp_path: Path, tokenizer: Tokenizer) -> SequencesDataset:
    corpus = [make_utterance("0" * 32, k, start=0.5 + 4 * k) for k in range(4)]
    write_utterances(tmp_path / "utterances.jsonl", corpus)
    frames = StoredItems(tmp_path, {})
    work, *_ = pack_sequences(
        Utterances(tmp_path / "utterances.jsonl"), frames, frames, tokenizer, Codebook.empty(), ParquetOptions()
    )
    dataset = SequencesDataset(filepath=str(tmp_path / "rows" / "train"))
    dataset.save(work)
    return dataset


def test_rows_are_previewed_in_words(train: SequencesDataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert train.preview() == {}
    TokenizerTableDataset(filepath=str(tmp_path / "rows" / "tokenizer")).save(publish_tokenizer(tokenizer))
    preview = train.preview(nrows=1)
    texts = [line[preview["columns"].index("text")] for line in preview["data"]]
    assert any(SENTENCES[0] in text for text in texts)
    assert "<|end_of_document|>" in texts
    assert len(preview["index"]) == len(texts)


def test_the_picture_is_previewed_and_drawn_once(train: SequencesDataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    picture = PictureDataset(filepath=str(tmp_path / "sequences.png"))
    assert picture.preview() == ""
    picture.save(draw_sequences(train.load(), tokenizer))
    assert base64.b64decode(picture.preview()) == picture.load()
    again = draw_sequences(train.load(), tokenizer)
    picture.save(again)
    assert (again.tally.made, again.tally.reused) == (0, 1)


PNG = b"\x89PNG"


def test_the_losses_of_runs_are_previewed(tmp_path: Path) -> None:
    runs = RunsDataset(filepath=str(tmp_path / "runs"))
    assert runs.preview() == ""
    log = EventLog(runs.load() / "tiny" / "events.jsonl")
    log.write("step", step=1, loss=5.0)
    log.write("step", step=2, loss=None)
    log.write("evaluation", step=2, split="validation", loss=4.0)
    log.close()
    assert base64.b64decode(runs.preview()).startswith(PNG)


def test_frames_are_previewed_as_a_picture(tmp_path: Path) -> None:
    frames = FramesDataset(filepath=str(tmp_path / "frames"))
    assert frames.preview() == ""
    mel = pa.array([[0.0] * 80] * 3, pa.list_(pa.float32(), 80))
    table = pa.table({"log_mel": mel, "f0_hz": [100.0, float("nan"), 110.0], "energy_db": [-20.0, -30.0, -20.0]})
    frames.save(Work("frames", [Item("a", "k")], lambda items: (Made(item, table) for item in items)))
    assert base64.b64decode(frames.preview()).startswith(PNG)
