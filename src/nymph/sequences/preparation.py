"""A corpus ready to be packed: its split plan and feature statistics, read once and shared by the three splits."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from nymph.errors import NymphError
from nymph.parquet import read_parquet
from nymph.sequences.documents import MixOptions, build_documents
from nymph.sequences.packing import PackingOptions, pack
from nymph.sequences.splits import SplitOptions, SplitPlan, plan_splits
from nymph.sequences.statistics import FeatureStatistics, fit_statistics
from nymph.sequences.streams import Tools
from nymph.sequences.writer import ShardOptions, ShardReport, sequence_schema, write_shards
from nymph.text.tokenizer import Tokenizer

Utterance = Mapping[str, Any]


class SequenceOptions(Protocol):
    """What packing needs to know; the parquet stage's options are one."""

    context_length: int
    mix: MixOptions
    split: SplitOptions
    packing: PackingOptions
    shards: ShardOptions


class FrameFolder:
    """Rows of frame files, the file last read kept in memory: utterances of a recording stand together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._table = pa.table({})

    def __call__(self, reference: Mapping[str, Any]) -> pa.Table | None:
        """The rows `start` to `stop` of a file; None where the file is not there.

        Raises:
            NymphError: the reference leaves the folder.
        """
        name = str(reference["file"])
        if Path(name).name != name:
            raise NymphError(f"expected the name of a frame file, got {name!r}")
        if name != self._name:
            path = self._folder / name
            if not path.is_file():
                return None
            self._name, self._table = name, read_parquet(path, ["log_mel", "f0_hz", "voiced", "energy_db"])
        return self._table.slice(reference["start"], reference["stop"] - reference["start"])


@dataclass(frozen=True)
class Corpus:
    """Utterances with what is needed to read them as rows."""

    utterances: Iterable[Utterance]
    tokenizer: Tokenizer
    frames: FrameFolder
    options: SequenceOptions
    fingerprint: str

    @cached_property
    def plan(self) -> SplitPlan:
        """Which utterance belongs to which split."""
        return plan_splits(self.utterances, self.options.split)

    @cached_property
    def statistics(self) -> FeatureStatistics:
        """Means and deviations of the training split's features."""
        return fit_statistics(self._spans())

    def write(self, split: str, folder: Path) -> ShardReport:
        """Pack one split into shards in `folder`, which appears whole."""
        options = self.options
        schema = sequence_schema(self.tokenizer, options.context_length, self.statistics, self.fingerprint)
        tools = Tools(self.tokenizer, self.statistics, self.frames)
        chosen = self.plan.select(self.utterances, split)
        documents = build_documents(chosen, tools, options.mix, options.context_length)
        rows = pack(documents, schema, options.context_length, options.packing)
        return write_shards(rows, folder, schema, options.shards)

    def _spans(self) -> Iterator[tuple[pa.Table, float | None]]:
        for utterance in self.plan.select(self.utterances, "train"):
            table = self.frames(utterance["frames"]) if utterance.get("frames") else None
            if table is not None and table.num_rows:
                yield table, (utterance.get("prosody") or {}).get("rate_syllables_per_s")
