"""A corpus becomes shards that are whole, checked, the same for any number of processes, and readable again."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from nymph.errors import NymphError
from nymph.files import sha256_file
from nymph.flight.catalogue import Catalogue
from nymph.sequences.inspect import mel_picture, read_rows, render
from nymph.sequences.mix import MixOptions
from nymph.sequences.packing import PackingOptions
from nymph.sequences.preparation import Corpus, FrameFolder
from nymph.sequences.report import describe_rows
from nymph.sequences.schema import check_schema, common_tokenizer
from nymph.sequences.splits import SPLITS, SplitOptions
from nymph.sequences.statistics import FeatureStatistics, statistics_of
from nymph.sequences.streams import Frames
from nymph.sequences.tasks import TASKS
from nymph.sequences.units import UnitOptions, fit_codebook
from nymph.sequences.writer import ORIGINS, ShardOptions
from nymph.text.tokenizer import Tokenizer, train_tokenizer

from .conftest import FRAMES, frames_of, make_utterance


@dataclass(frozen=True)
class Options:
    context_length: int = 256
    mix: MixOptions = field(default_factory=MixOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    packing: PackingOptions = field(default_factory=PackingOptions)
    shards: ShardOptions = field(default_factory=lambda: ShardOptions(rows_per_group=2, rows_per_shard=4))


def corpus_of(
    utterances: Iterable[dict[str, Any]], tokenizer: Tokenizer, frames: Frames = frames_of, **changed: Any
) -> Corpus:
    workers, units = changed.pop("workers", 1), changed.pop("units", None)
    return Corpus(utterances, tokenizer, frames, Options(**changed), "options", units, workers)


def write(corpus: Corpus, folder: Path) -> dict[str, dict[str, Any]]:
    for split in SPLITS:
        corpus.write(split, folder / split)
    return {split: describe_rows(folder / split) for split in SPLITS}


@pytest.fixture(scope="module")
def folder(utterances: list[dict[str, Any]], tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sequences")
    write(corpus_of(utterances, tokenizer), path)
    return path


def shards(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*.parquet"))}


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_as_one(tokenizer: Tokenizer, tmp_path: Path) -> None:
    units = fit_codebook([FRAMES], UnitOptions(units=8, run_length=True))
    speaking = tokenizer.with_audio_units(8)
    many = [make_utterance(f"{k:032x}", k % 5) for k in range(60)]
    for utterance in many:
        pq.write_table(FRAMES.slice(0, 500), tmp_path / utterance["frames"]["file"])
    for workers in (1, 2):
        corpus = corpus_of(many, speaking, FrameFolder(tmp_path), workers=workers, units=units)
        write(corpus, tmp_path / str(workers))
    assert shards(tmp_path / "2") == shards(tmp_path / "1")
    assert len(shards(tmp_path / "1")) > 6


def test_every_shard_says_what_made_it(folder: Path, tokenizer: Tokenizer) -> None:
    schemas = [pq.read_schema(path) for path in folder.glob("*/*.parquet")]
    for schema in schemas:
        check_schema(schema, "a shard")
    assert common_tokenizer(schemas) == tokenizer.fingerprint
    assert statistics_of(schemas[0]) != FeatureStatistics()


def test_rows_of_two_tokenizers_are_refused(folder: Path, utterances: list[dict[str, Any]]) -> None:
    other = corpus_of(utterances, train_tokenizer(["other words"] * 3))
    with pytest.raises(NymphError, match="different tokenizers"):
        common_tokenizer([pq.read_schema(folder / "train" / "00000.parquet"), other.schema])


def test_shards_and_row_groups_have_the_chosen_size(folder: Path) -> None:
    first = pq.ParquetFile(folder / "train" / "00000.parquet").metadata
    assert (first.num_rows, first.num_row_groups) == (4, 2)
    statistics = {column.path_in_schema: column.statistics for column in map(first.row_group(0).column, range(10))}
    assert statistics["document.list.element"].max >= 1
    assert statistics["audio.list.element.list.element"] is None


def test_what_rows_came_from_is_no_table(folder: Path) -> None:
    assert Catalogue({"sequences": folder}).names() == sorted(f"sequences/{split}" for split in SPLITS)


def test_a_flipped_bit_is_noticed(folder: Path, tmp_path: Path) -> None:
    damaged = bytearray((folder / "train" / "00000.parquet").read_bytes())
    damaged[len(damaged) // 3] ^= 4
    (tmp_path / "x.parquet").write_bytes(damaged)
    with pytest.raises(OSError, match="CRC"):
        pq.ParquetFile(tmp_path / "x.parquet", page_checksum_verification=True).read()


def test_an_utterance_comes_back_with_its_text_and_times(
    folder: Path, tokenizer: Tokenizer, utterances: list[dict[str, Any]]
) -> None:
    train = [document for row in read_rows(folder / "train", tokenizer, 0, 1000) for document in row.documents]
    by_id = {u["id"]: u for u in utterances}
    transcribed = [document for document in train if document.task == "transcribe"]
    assert transcribed
    for document in transcribed:
        said = by_id[document.id]
        spoken = [run for run in document.runs if run.modality == "text" and run.weight > 0]
        assert document.target_text == said["text"]
        assert (spoken[0].start, spoken[-1].end) == pytest.approx((said["start"], said["end"]), abs=0.01)


def test_a_row_is_shown_with_tokens_times_weights_and_sound(folder: Path, tokenizer: Tokenizer) -> None:
    shown = "\n".join(render(row) for row in read_rows(folder / "train", tokenizer, 0, 1000))
    for expected in ("<|audio_start|>", "1.00  ", " s  ", "audio positions]", "sentiment positive", "transcribe "):
        assert expected in shown


def test_a_mel_picture_has_high_frequencies_on_top() -> None:
    mel = np.zeros((80, 40))
    mel[-10:] = 1
    lines = mel_picture(mel, width=20)
    assert lines[0] == "@" * 20
    assert lines[-1] == " " * 20


def test_a_row_that_does_not_exist_is_an_error_that_says_the_range(folder: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(NymphError, match="expected a row from 0 to"):
        list(read_rows(folder / "test", tokenizer, 10_000))


def test_the_report_counts_what_went_in(utterances: list[dict[str, Any]], folder: Path) -> None:
    reports = [describe_rows(folder / split) for split in SPLITS]
    assert sum(report["documents"]["transcribe/speech"] for report in reports) == len(utterances)
    assert all(report["left_out"]["quarantined"] == [] for report in reports)


def test_rows_that_lost_their_origins_are_an_error(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "train", tmp_path / "train", ignore=shutil.ignore_patterns(ORIGINS))
    with pytest.raises(NymphError, match="run the parquet pipeline again"):
        describe_rows(tmp_path / "train")


def test_the_report_names_what_was_left_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    mute = make_utterance("r", 0) | {"frames": {"file": "none.parquet", "start": 0, "stop": 9}}
    mix = MixOptions({"transcribe": TASKS["transcribe"]})
    report = write(corpus_of([mute], tokenizer, FrameFolder(tmp_path), mix=mix), tmp_path / "rows")["train"]
    assert report["rows"] == 0
    assert report["left_out"]["skipped"] == {"transcribe: a stream is absent": 1}
    check_schema(pq.read_schema(tmp_path / "rows" / "train" / "00000.parquet"), "the shard")


def test_a_single_short_recording_fills_all_three_splits(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = corpus_of([make_utterance("r", k) for k in range(4)], tokenizer)
    assert corpus.plan.rule == "time"
    assert all(report["rows"] for report in write(corpus, tmp_path).values())


def test_an_iterator_is_refused_because_it_ends(tokenizer: Tokenizer) -> None:
    with pytest.raises(NymphError, match="iterable again"):
        corpus_of(iter([make_utterance("r", 0)]), tokenizer)


def test_frames_are_read_by_span_across_row_groups(tmp_path: Path) -> None:
    pq.write_table(FRAMES, tmp_path / "r.parquet", row_group_size=700)
    found = FrameFolder(tmp_path)({"file": "r.parquet", "start": 650, "stop": 1500})
    assert found["log_mel"].to_pylist() == FRAMES.slice(650, 850)["log_mel"].to_pylist()


def test_frames_that_are_short_or_elsewhere_are_errors(tmp_path: Path) -> None:
    pq.write_table(FRAMES.slice(0, 100), tmp_path / "r.parquet")
    with pytest.raises(NymphError, match="expected 200 frames"):
        FrameFolder(tmp_path)({"file": "r.parquet", "start": 0, "stop": 200})
    with pytest.raises(NymphError, match="name of a frame file"):
        FrameFolder(tmp_path)({"file": "../r.parquet", "start": 0, "stop": 1})
