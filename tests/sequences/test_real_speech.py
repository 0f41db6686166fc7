"""Rows of every task from a real conversation with its published transcript, and from a chat: in, and back out."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from nymph.audio.frames import frame_table
from nymph.sequences.inspect import DocumentView, Run, read_rows, render, shown
from nymph.sequences.mix import MixOptions
from nymph.sequences.preparation import Corpus, FrameFolder
from nymph.sequences.report import describe_rows
from nymph.sequences.splits import SplitOptions
from nymph.sequences.tasks import TASKS
from nymph.sequences.units import UnitOptions, fit_codebook
from nymph.text.chat import ChatOptions, threads
from nymph.text.prosody import learn_edges
from nymph.text.tokenizer import Tokenizer, TokenizerOptions, train_tokenizer

from .test_preparation import Options

pytestmark = pytest.mark.slow

SAMPLE = Path(str(importlib.util.find_spec("pyannote.audio").origin)).parent / "sample"  # type: ignore[union-attr]
TREE = {
    "prompt": {
        "role": "prompter",
        "text": "Where is Diane calling from?",
        "lang": "en",
        "replies": [
            {"role": "assistant", "text": "From Texas.", "rank": 1, "lang": "en", "replies": []},
            {"role": "assistant", "text": "From New Jersey.", "rank": 0, "lang": "en", "replies": []},
        ],
    }
}
MIX = MixOptions({**TASKS, "autoencode": replace(TASKS["autoencode"], weight=1.0)})


def spoken(file: str) -> Iterator[dict[str, Any]]:
    """The lines of the sample's STM as utterances; words share their utterance's time by their length."""
    for index, line in enumerate((SAMPLE / "sample.stm").read_text().splitlines()):
        _, _, speaker, start, end, text = line.split(maxsplit=5)
        words = text.split()
        edges = np.interp(np.cumsum([0, *map(len, words)]), [0, sum(map(len, words))], [float(start), float(end)])
        about = {"id": f"sample:{index}", "recording": "sample", "index": index, "kind": "speech"}
        yield {
            **about,
            "source": "audio/sample.wav",
            "role": None,
            "text": text,
            "language": "en",
            "start": edges[0],
            "end": edges[-1],
            "words": [{"word": w, "start": a, "end": b} for w, a, b in zip(words, edges, edges[1:], strict=False)],
            "speaker": speaker,
            "speaker_vector": np.eye(256)[len(speaker)].tolist(),
            "prosody": {"f0_mean_hz": 200.0 + index, "energy_db": -30.0, "rate_syllables_per_s": 4.0},
            "sentiment": {"label": ("neutral", "positive")[index % 2], "score": 0.9},
            "frames": {"file": file, "start": round(edges[0] * 100), "stop": round(edges[-1] * 100)},
        }


def chatted() -> Iterator[dict[str, Any]]:
    for index, message in enumerate(message for thread in threads([TREE], ChatOptions()) for message in thread):
        absent = dict.fromkeys(("start", "end", "speaker", "speaker_vector", "prosody", "sentiment", "frames"))
        about = {"id": f"chat:{index}", "recording": "chat", "index": index, "kind": "chat", "source": "chat.jsonl"}
        yield {**absent, **about, "role": message.role, "text": message.content, "language": "en", "words": []}


@pytest.fixture(scope="module")
def utterances() -> list[dict[str, Any]]:
    return [*spoken("sample.parquet"), *chatted()]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> FrameFolder:
    folder = tmp_path_factory.mktemp("frames")
    pq.write_table(frame_table(str(SAMPLE / "sample.wav")), folder / "sample.parquet")
    return FrameFolder(folder)


@pytest.fixture(scope="module")
def tokenizer(utterances: list[dict[str, Any]]) -> Tokenizer:
    trained = train_tokenizer((u["text"] for u in utterances), TokenizerOptions(vocabulary_size=500))
    return trained.with_prosody_edges(learn_edges(utterances, 5)).with_audio_units(16)


@pytest.fixture(scope="module", params=[False, True], ids=["patches", "units"])
def folder(
    request: pytest.FixtureRequest,
    utterances: list[dict[str, Any]],
    frames: FrameFolder,
    tokenizer: Tokenizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    tables = (frames(u["frames"]) for u in utterances if u["frames"])
    units = fit_codebook(tables, UnitOptions(units=16, per_second=25.0, run_length=True)) if request.param else None
    options = Options(context_length=512, mix=MIX, split=SplitOptions(1.0, 0.0, 0.0))
    place = tmp_path_factory.mktemp("rows") / "train"
    Corpus(utterances, tokenizer, frames, options, "options", units).write("train", place)
    return place


def documents(folder: Path, tokenizer: Tokenizer, task: str) -> Mapping[str, DocumentView]:
    rows = read_rows(folder, tokenizer, 0, 10_000)
    return {document.id: document for row in rows for document in row.documents if document.task == task}


def test_every_task_gives_rows_and_nothing_is_left_out(folder: Path, utterances: list[dict[str, Any]]) -> None:
    report = describe_rows(folder)
    speech = sum(utterance["kind"] == "speech" for utterance in utterances)
    for task in ("transcribe", "transcribe_with_emotion", "speak", "autoencode"):
        assert report["documents"][f"{task}/speech"] == speech
    assert {name.partition("/")[0] for name in report["documents"]} == set(TASKS)
    assert report["documents"]["converse/chat"] == 1
    assert report["left_out"] == {
        "divided": {},
        "quarantined": [],
        "skipped": {},
        "split": report["left_out"]["split"],
    }


def test_what_was_said_and_when_comes_back(
    folder: Path, tokenizer: Tokenizer, utterances: list[dict[str, Any]]
) -> None:
    found = documents(folder, tokenizer, "transcribe")
    for utterance in (one for one in utterances if one["kind"] == "speech"):
        document = found[utterance["id"]]
        sound, words = (
            next(r for r in document.runs if r.modality == m and r.start is not None) for m in ("audio", "text")
        )
        assert document.target_text == utterance["text"]
        assert (sound.start, sound.end) == pytest.approx((utterance["start"], utterance["end"]), abs=0.006)
        assert (words.start, words.end) == pytest.approx((utterance["start"], utterance["end"]), abs=0.001)


def test_only_the_best_answer_of_the_chat_is_learned(folder: Path, tokenizer: Tokenizer) -> None:
    chat = documents(folder, tokenizer, "converse")["chat"]
    assert chat.target_text == "From New Jersey."
    assert chat.text == "Where is Diane calling from?From New Jersey."


def test_interleaved_words_follow_their_sound_in_time(folder: Path, tokenizer: Tokenizer) -> None:
    (document,) = documents(folder, tokenizer, "interleave").values()
    timed = [run for run in document.runs if run.start is not None]
    starts = [run.start for run in timed if run.modality == "audio"]
    assert starts == sorted(starts)
    assert len(starts) > 30
    assert document.text.startswith("Hello?Hello?Oh, hello.I didn't know")


def test_a_person_can_read_it(folder: Path, tokenizer: Tokenizer) -> None:
    shown = "\n".join(render(row) for row in read_rows(folder, tokenizer, 0, 10_000))
    for expected in ("<|user|>", "<|sentiment:positive|>", "<|pitch:0|>", "speak sample:3", " audio "):
        assert expected in shown


def test_units_are_shown_by_their_numbers() -> None:
    text = "".join(f"<|unit:{unit}|>" for unit in (3, 11))
    assert shown(Run("audio", 1.0, text, 2, None, None)) == "[2 audio units: 3 11]"
    assert shown(Run("audio", 0.0, "<|audio|>", 1, None, None)) == "[1 audio positions]"
