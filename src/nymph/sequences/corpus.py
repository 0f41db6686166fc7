"""A whole corpus to its splits of packed rows: plan, statistics, documents, packing, shards. Streams throughout.

The corpus is read once to plan the splits, once for the statistics and once for each split: cheaper than holding it.
Documents can be made by several processes; their order, and so every byte written, is the same for any number.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from joblib import Parallel, delayed

from nymph.errors import NymphError
from nymph.files import fingerprint
from nymph.sequences.document import Document
from nymph.sequences.documents import MixCounts, MixOptions, build_documents
from nymph.sequences.packing import Packed, PackingCounts, PackingOptions, pack
from nymph.sequences.splits import SPLITS, SplitOptions, SplitPlan, plan_splits
from nymph.sequences.statistics import fit_statistics
from nymph.sequences.streams import Frames, Tools, Units, Utterance
from nymph.sequences.writer import ShardOptions, ShardReport, sequence_schema, write_shards
from nymph.text.tokenizer import Tokenizer

PASSAGE = 256
"""Most utterances of one recording that are in memory, and in a document, together."""


@dataclass(frozen=True)
class SequenceOptions:
    """Everything that decides what the rows are."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    context_length: int = 2048
    """Positions of a row."""
    mix: MixOptions = field(default_factory=MixOptions)
    """Tasks and their weights."""
    packing: PackingOptions = field(default_factory=PackingOptions)
    """How documents share rows."""
    splits: SplitOptions = field(default_factory=SplitOptions)
    """Training, validation and test."""
    shards: ShardOptions = field(default_factory=ShardOptions)
    """How rows are cut into files."""

    @property
    def fingerprint(self) -> str:
        """32 hex digits for all options."""
        return fingerprint(asdict(self))


@dataclass
class SplitReport:
    """What one split is made of."""

    mix: MixCounts = field(default_factory=MixCounts)
    packing: PackingCounts = field(default_factory=PackingCounts)
    shards: ShardReport | None = None

    def summary(self, context_length: int) -> dict[str, Any]:
        """The report as plain values for a table, a log or MLflow."""
        mix = {
            f"{task}/{kind}": {
                "documents": count,
                "positions": self.mix.positions[task, kind],
                "targets": self.mix.targets[task, kind],
            }
            for (task, kind), count in sorted(self.mix.documents.items())
        }
        return {
            "rows": self.packing.rows,
            "positions": self.packing.used,
            "padding_waste": round(self.packing.waste(context_length), 5),
            "mix": mix,
            "split_documents": self.packing.split,
            "divided": dict(self.mix.divided),
            "skipped": dict(self.mix.skipped),
            "quarantined": list(self.packing.quarantined),
            "shards": None if self.shards is None else asdict(self.shards),
        }


class SequenceCorpus:
    """The splits of a corpus as streams of packed rows of one schema."""

    def __init__(
        self,
        utterances: Iterable[Utterance],
        tokenizer: Tokenizer,
        frames: Frames,
        options: SequenceOptions,
        units: Units | None = None,
        workers: int = 1,
    ) -> None:
        """`utterances` is iterated several times, each recording's standing together; `workers` are processes."""
        if iter(utterances) is utterances:
            raise NymphError("a corpus is read more than once: expected something iterable again, got an iterator")
        self._utterances, self._options, self._workers = utterances, options, workers
        self.plan: SplitPlan = plan_splits(utterances, options.splits)
        statistics = fit_statistics(_framed(self.plan.select(utterances, "train"), frames))
        self._tools = Tools(tokenizer, statistics, frames, units)
        self.schema: pa.Schema = sequence_schema(tokenizer, options.context_length, statistics, options.fingerprint)
        self.reports = {split: SplitReport() for split in SPLITS}

    def documents(self, split: str) -> Iterator[Document]:
        """The documents of a split, in the corpus's order; counted in its report."""
        counts, T = self.reports[split].mix, self._options.context_length
        passages = _passages(self.plan.select(self._utterances, split))
        if self._workers == 1:
            for passage in passages:
                yield from build_documents(passage, self._tools, self._options.mix, T, counts)
            return
        parallel = Parallel(n_jobs=self._workers, return_as="generator", batch_size=1, pre_dispatch="2*n_jobs")
        jobs = (delayed(_chunk)(chunk, self._tools, self._options.mix, T) for chunk in _chunks(passages))
        for documents, found in parallel(jobs):
            counts.merge(found)
            yield from documents

    def batches(self, split: str) -> Iterator[Packed]:
        """The packed rows of a split; counted in its report."""
        T, packing = self._options.context_length, self._options.packing
        return pack(self.documents(split), self.schema, T, packing, self.reports[split].packing)

    def write(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Write every split to `folder/<split>`; returns each split's summary."""
        for split in SPLITS:
            shards = write_shards(self.batches(split), folder / split, self.schema, self._options.shards)
            self.reports[split].shards = shards
        return self.summary()

    def summary(self) -> dict[str, dict[str, Any]]:
        """Each split's report as plain values; complete once its batches were drained."""
        return {name: report.summary(self._options.context_length) for name, report in self.reports.items()}


def _chunk(
    passages: list[list[Utterance]], tools: Tools, mix: MixOptions, context_length: int
) -> tuple[list[Document], MixCounts]:
    counts = MixCounts()
    documents = [d for passage in passages for d in build_documents(passage, tools, mix, context_length, counts)]
    return documents, counts


def _passages(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    for _, recording in groupby(utterances, key=lambda utterance: utterance["recording"]):
        while passage := list(islice(recording, PASSAGE)):
            yield passage


def _chunks(passages: Iterator[list[Utterance]]) -> Iterator[list[list[Utterance]]]:
    while chunk := list(islice(passages, 16)):
        yield chunk


def _framed(utterances: Iterable[Utterance], frames: Frames) -> Iterator[tuple[pa.Table, float | None]]:
    for utterance in utterances:
        reference = utterance.get("frames")
        table = None if reference is None else frames(reference)
        if table is not None:
            yield table, (utterance.get("prosody") or {}).get("rate_syllables_per_s")
