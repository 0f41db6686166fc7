"""The table of speakers: who each label that diarization gave within a recording is, across all recordings.

One row a voice: a label of one recording, its mean vector, and the person it was taken for. People are no rows of
their own, so a recording that is removed, or transcribed anew, takes along just what it said about anybody.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from nymph.errors import NymphError
from nymph.files import fingerprint
from nymph.parquet import iter_parquet, write_parquet
from nymph.stores.kept import kept_fingerprint

# Vectors are lists of any length: Parquet cannot read back lists of a fixed size where one of them is null.
SPEAKER_SCHEMA = pa.schema(
    [
        pa.field("recording", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),  # of the transcript and vectors it was made from
        pa.field("label", pa.string(), nullable=False),  # within the recording
        pa.field("speaker", pa.string(), nullable=False),  # across recordings
        pa.field("seconds", pa.float64(), nullable=False),  # of speech that the vector is the mean of
        pa.field("vector", pa.list_(pa.float32())),  # 256 numbers; null for who said too little
    ],
    metadata={"nymph.schema": "speakers/1"},
)

Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class Speakers:
    """Who speaks in which recording."""

    filepath: Path

    @classmethod
    def open(cls, filepath: Path) -> "Speakers":
        """The table of the last run.

        Raises:
            NymphError: the features stage has not run to its end yet.
        """
        if not filepath.is_file():
            raise NymphError(f"{filepath}: not there yet; run `kedro run --pipelines features` first")
        return cls(filepath)

    @property
    def fingerprint(self) -> str:
        """Stands for the content."""
        return kept_fingerprint(self.filepath)

    def names(self) -> dict[tuple[str, str], str]:
        """(recording, label) -> speaker; vectors stay on disk."""
        columns = ["recording", "label", "speaker"]
        rows = (row for batch in iter_parquet(self.filepath, columns) for row in batch.to_pylist())
        return {(row["recording"], row["label"]): row["speaker"] for row in rows}


def founder_name(recording: str, label: str) -> str:
    """The name of a speaker first heard under this label: the same on every machine and in every order."""
    return f"speaker-{fingerprint(recording, label)[:12]}"


def write_speakers(filepath: Path, update: Callable[[Batches], Batches]) -> None:
    """Replace the table by `update` of what it holds, as a stream and atomically.

    Raises:
        NymphError: the table there is damaged; without it, speakers would get other names.
    """
    earlier = iter_parquet(filepath) if filepath.is_file() else ()
    write_parquet(filepath, SPEAKER_SCHEMA, update(earlier))
