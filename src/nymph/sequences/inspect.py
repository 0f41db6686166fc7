"""Rows decoded for a person: the text with its special tokens, when it was said, what counts, how it sounds.

Reads one row group at a time and the origins beside it. For people: nothing here is fast.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.sequences.schema import (
    FRAMES_PER_PATCH,
    MEL_BINS,
    TOKENIZER_KEY,
    Modality,
    check_schema,
    sentiment_labels_of,
)
from nymph.sequences.writer import ORIGINS
from nymph.text.tokenizer import Tokenizer
from nymph.text.vocabulary import unit_token

_SHADES = " .:-=+*#%@"
_UNIT = re.compile(unit_token(0).replace("|", r"\|").replace("0", r"(\d+)"))


@dataclass(frozen=True)
class Run:
    """Consecutive positions of one document that are alike in modality and loss weight."""

    modality: str
    weight: float
    text: str
    positions: int
    start: float | None
    """Seconds in the recording; None where no position has a time."""
    end: float | None


@dataclass(frozen=True)
class DocumentView:
    """One document of a row."""

    id: str
    task: str
    positions: int
    runs: tuple[Run, ...]
    sentiment: str | None
    speakers: int
    """Speaker vectors that its positions point to."""
    mel: NDArray[np.float16]
    """Its patches in order as a picture [80, frames], standardised."""

    @property
    def text(self) -> str:
        """The words alone, without control tokens and audio."""
        return "".join(run.text for run in self.runs if run.modality == "text")

    @property
    def target_text(self) -> str:
        """The words that count in the loss."""
        return "".join(run.text for run in self.runs if run.modality == "text" and run.weight > 0)


@dataclass(frozen=True)
class RowView:
    """One row."""

    index: int
    documents: tuple[DocumentView, ...]
    padding: int


def read_rows(folder: Path, tokenizer: Tokenizer, first: int = 0, count: int = 1) -> Iterator[RowView]:
    """Rows `first` to `first + count` of a folder of shards, decoded; NymphError if another tokenizer wrote them."""
    index = 0
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_tokenizer(file.schema_arrow, tokenizer, path)
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                wanted = range(max(first - index, 0), min(first + count - index, rows))
                if wanted:
                    yield from _group_views(file, path, group, wanted, index, tokenizer)
                index += rows
    if first >= index:
        raise NymphError(f"{folder}: expected a row from 0 to {index - 1}, got {first}")


def render(row: RowView) -> str:
    """A row as lines of plain text, a line a run; control characters of transcripts are escaped."""
    lines = [f"row {row.index}: {len(row.documents)} documents, {row.padding} positions of padding"]
    for document in row.documents:
        about = f"{document.task} {document.id}: {document.positions} positions, {document.speakers} speaker vectors"
        lines.append(f"  {about}, sentiment {document.sentiment or 'absent'}")
        lines += [f"    {_times(run):>15}  {run.weight:4.2f}  {shown(run)}" for run in document.runs]
        if document.mel.size:
            lines += [f"    {line}" for line in mel_picture(document.mel)]
    return "\n".join(lines)


def first_rows(folder: Path, tokenizer: Tokenizer, count: int) -> list[RowView]:
    """The first rows of a table, as many as it has."""
    rows = sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))
    return list(read_rows(folder, tokenizer, 0, min(count, rows))) if rows else []


COLUMNS = ("row", "task", "document", "time", "weight", "modality", "text")


def tabulate(rows: Iterable[RowView]) -> list[tuple[object, ...]]:
    """What `render` shows, a tuple of `COLUMNS` a run."""
    return [
        (row.index, document.task, document.id, _times(run), run.weight, run.modality, shown(run))
        for row in rows
        for document in row.documents
        for run in document.runs
    ]


def mel_picture(mel: NDArray[Any], width: int = 72, height: int = 8) -> list[str]:
    """A spectrogram [80, frames] in characters, high frequencies on top, each cell the mean of its part."""
    columns = np.array_split(mel.astype(np.float32), min(width, mel.shape[1]), axis=1)
    bands = [np.array_split(column.mean(1), height) for column in columns]
    cells = np.array([[band.mean() for band in column] for column in bands]).T[::-1]
    low, high = cells.min(), cells.max()
    levels = ((cells - low) / max(high - low, 1e-6) * (len(_SHADES) - 1)).round().astype(int)
    return ["".join(_SHADES[level] for level in line) for line in levels]


def _check_tokenizer(schema: pa.Schema, tokenizer: Tokenizer, path: Path) -> None:
    check_schema(schema, str(path))
    found = schema.metadata.get(TOKENIZER_KEY, b"unknown").decode()
    if found != tokenizer.fingerprint:
        raise NymphError(
            f"{path}: written with tokenizer {found}, got {tokenizer.fingerprint}; run the parquet pipeline again"
        )


def _group_views(
    file: pq.ParquetFile, path: Path, group: int, wanted: range, index: int, tokenizer: Tokenizer
) -> Iterator[RowView]:
    table = file.read_row_group(group)
    labels = sentiment_labels_of(file.schema_arrow)
    origins = path.parent / ORIGINS / path.name
    beside = pq.ParquetFile(origins).read_row_group(group) if origins.exists() else None
    for position in wanted:
        row = {name: table[name][position].as_py() for name in table.column_names}
        origin = None if beside is None else {name: beside[name][position].as_py() for name in beside.column_names}
        yield _row_view(index + position, row, origin, labels, tokenizer)


def _row_view(
    index: int, row: dict[str, Any], origin: dict[str, Any] | None, labels: tuple[str, ...], tokenizer: Tokenizer
) -> RowView:
    numbers = np.array(row["document"])
    seconds = np.full((len(numbers), 2), np.nan)
    if origin is not None:
        seconds[origin["timed"]] = np.stack([origin["start"], origin["end"]], 1)
    views = []
    for number in range(1, int(numbers.max(initial=0)) + 1):
        places = np.flatnonzero(numbers == number)
        about = {"id": "unknown", "task": "unknown"} if origin is None else origin["documents"][number - 1]
        views.append(_document_view(row, places, seconds, about, labels, tokenizer))
    return RowView(index, tuple(views), int((numbers == 0).sum()))


def _document_view(
    row: dict[str, Any],
    places: NDArray[np.int64],
    seconds: NDArray[np.float64],
    about: dict[str, Any],
    labels: tuple[str, ...],
    tokenizer: Tokenizer,
) -> DocumentView:
    groups = groupby(places.tolist(), key=lambda t: (row["modality"][t], row["loss_weight"][t]))
    runs = [_run(kind, weight, list(at), row["tokens"], seconds, tokenizer) for (kind, weight), at in groups]
    classes = {row["sentiment"][t] for t in places} - {-1}
    inside = set(places.tolist())
    patches = [patch for at, patch in zip(row["audio_position"], row["audio"], strict=True) if at in inside]
    mel = np.array(patches, np.float16).reshape(-1, FRAMES_PER_PATCH, MEL_BINS).reshape(-1, MEL_BINS).T
    return DocumentView(
        id=about["id"],
        task=about["task"],
        positions=len(places),
        runs=tuple(runs),
        sentiment=", ".join(labels[index] for index in sorted(classes)) or None,
        speakers=len({row["speaker"][t] for t in places} - {-1}),
        mel=mel,
    )


def _run(
    modality: int, weight: float, places: list[int], tokens: list[int], seconds: NDArray[np.float64], by: Tokenizer
) -> Run:
    spans = seconds[places]
    timed = spans[np.isfinite(spans[:, 0])]
    return Run(
        modality=Modality(modality).name.lower(),
        weight=float(weight),
        text=by.decode(tokens[t] for t in places),
        positions=len(places),
        start=round(float(timed[:, 0].min()), 3) if len(timed) else None,
        end=round(float(timed[:, 1].max()), 3) if len(timed) else None,
    )


def _times(run: Run) -> str:
    return "" if run.start is None else f"{run.start:.2f} - {run.end:.2f} s"


def shown(run: Run) -> str:
    """What stands in a run, on one line."""
    if run.modality == "audio":
        units = _UNIT.findall(run.text)
        return f"[{len(units)} audio units: {' '.join(units)}]" if units else f"[{run.positions} audio positions]"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in run.text)
