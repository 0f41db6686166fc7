"""A corpus ready to be packed: its split plan and feature statistics, read once and shared by the three splits.

Everything streams: the corpus is read once to plan, once for the statistics and once for each split, which is cheaper
than holding it. Documents can be made by several processes; their order, and so every byte, is the same for any number.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from joblib import Parallel, delayed
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.sequences.document import Document
from nymph.sequences.documents import build_documents, passages
from nymph.sequences.frames import FrameFolder, Frames, spoken
from nymph.sequences.mix import MixCounts, MixOptions
from nymph.sequences.packing import Packed, PackingCounts, PackingOptions, pack
from nymph.sequences.splits import SplitOptions, SplitPlan, plan_splits
from nymph.sequences.statistics import FeatureStatistics, fit_statistics, frame_rates
from nymph.sequences.streams import Tools, Units
from nymph.sequences.writer import ShardOptions, ShardReport, sequence_schema, write_shards
from nymph.text.tokenizer import Tokenizer

__all__ = ["Corpus", "FrameFolder", "SequenceOptions", "SplitCounts"]

Utterance = Mapping[str, Any]

CHUNK = 64
"""Utterances that go to another process together."""


class SequenceOptions(Protocol):
    """What packing needs to know; the parquet stage's options are one."""

    @property
    def context_length(self) -> int:
        """Positions of a row."""

    @property
    def mix(self) -> MixOptions:
        """Tasks and their weights."""

    @property
    def split(self) -> SplitOptions:
        """Shares of train, validation and test."""

    @property
    def packing(self) -> PackingOptions:
        """How documents share rows."""

    @property
    def shards(self) -> ShardOptions:
        """How rows are cut into files."""


@dataclass
class SplitCounts:
    """What became of a split's utterances; complete once its batches are drained."""

    mix: MixCounts = field(default_factory=MixCounts)
    packing: PackingCounts = field(default_factory=PackingCounts)

    def left_out(self) -> dict[str, Any]:
        """What is not in the rows, or not in one piece, as plain values."""
        return {
            "split": {"documents": self.packing.split, "pieces": self.packing.pieces},
            "divided": dict(sorted(self.mix.divided.items())),
            "skipped": dict(sorted(self.mix.skipped.items())),
            "quarantined": list(self.packing.quarantined),
        }


@dataclass(frozen=True)
class Corpus:
    """Utterances with what is needed to read them as rows."""

    utterances: Iterable[Utterance]
    """Iterated several times; a recording's utterances stand together."""
    tokenizer: Tokenizer
    frames: Frames
    options: SequenceOptions
    fingerprint: str
    """Stands for all that decided the rows; goes into their metadata."""
    units: Units | None = None
    """Audio units, where a codebook was learned."""
    workers: int = 1
    """Processes that make documents."""

    def __post_init__(self) -> None:
        if iter(self.utterances) is self.utterances:
            raise NymphError("a corpus is read more than once: expected something iterable again, got an iterator")

    @cached_property
    def plan(self) -> SplitPlan:
        """Which utterance belongs to which split."""
        return plan_splits(self.utterances, self.options.split)

    @cached_property
    def statistics(self) -> FeatureStatistics:
        """Means and deviations of the training split's features."""
        return fit_statistics(self._spans())

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of every split's rows."""
        return sequence_schema(self.tokenizer, self.options.context_length, self.statistics, self.fingerprint)

    def documents(self, split: str, counts: MixCounts | None = None) -> Iterator[Document]:
        """The documents of a split in the corpus's order."""
        tally, mix, length = (
            counts if counts is not None else MixCounts(),
            self.options.mix,
            self.options.context_length,
        )
        tools = Tools(self.tokenizer, self.statistics, self.frames, self.units, mix.untrusted_sentiment)
        chosen = self.plan.select(self.utterances, split)
        if self.workers == 1:
            yield from build_documents(chosen, tools, mix, length, tally)
            return
        parallel = Parallel(n_jobs=self.workers, return_as="generator", batch_size=1, pre_dispatch="2*n_jobs")
        for documents, found in parallel(delayed(_documents)(c, tools, mix, length) for c in _chunks(chosen)):
            tally.merge(found)
            yield from documents

    def batches(self, split: str, counts: SplitCounts | None = None) -> Iterator[Packed]:
        """The packed rows of a split."""
        tally, options = counts if counts is not None else SplitCounts(), self.options
        documents = self.documents(split, tally.mix)
        return pack(documents, self.schema, options.context_length, options.packing, tally.packing)

    def write(self, split: str, folder: Path) -> ShardReport:
        """Pack one split into shards in `folder`, which appears whole."""
        counts = SplitCounts()
        return write_shards(self.batches(split, counts), folder, self.schema, self.options.shards, counts.left_out)

    def _spans(self) -> Iterator[tuple[pa.Table, NDArray[np.float64]]]:
        for utterance, table in spoken(self.plan.select(self.utterances, "train"), self.frames):
            yield table, frame_rates(utterance)


def _documents(
    utterances: list[Utterance], tools: Tools, mix: MixOptions, context_length: int
) -> tuple[list[Document], MixCounts]:
    counts = MixCounts()
    return list(build_documents(utterances, tools, mix, context_length, counts)), counts


def _chunks(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    """About `CHUNK` utterances, cut between passages."""
    chunk: list[Utterance] = []
    for passage in passages(utterances, lambda utterance: utterance):
        chunk += passage
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
