"""Every file of the raw folder becomes rows or a quarantined file, told apart by name and then by content.

Nothing is passed over silently: a file is a source of rows, a transcript that a recording used, or in quarantine; a
record of JSON lines gives rows or one quarantine entry with its line.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from nymph.errors import NymphError
from nymph.files import fingerprint, sha256_file
from nymph.ingestion.documents import ID_DIGITS, Row, audio_row, cleaner, line_rows, text_row, tree_row
from nymph.ingestion.failures import UNREADABLE, IngestionError, unreadable
from nymph.ingestion.given import given_columns
from nymph.ingestion.jsonl import Line, open_compressed, read_lines
from nymph.ingestion.messages import FlatMessages, is_flat_message
from nymph.ingestion.options import IngestionOptions
from nymph.ingestion.raw import RawFile, RawFolder
from nymph.ingestion.sidecars import TURNS, is_packed, read_text, read_transcript, sidecars_of, stem_of, suffix_of
from nymph.ingestion.units import in_units
from nymph.stages import Failed, Item, Made, Outcome, Tally, Work, failure_of

JSONL = (".jsonl", ".ndjson")
TEXT = (".txt", ".md")
TRANSCRIPT = (".stm", ".textgrid", TURNS)
VERSION = 3
"""Raised when the same file would give other rows than before."""

_HEAD = 65_536


def declare_recordings(raw: RawFolder, options: IngestionOptions | None = None, only: str | None = None) -> Work:
    """Work with one item a file; JSON lines come first, so that the transcripts they bring win over bare files.

    Args:
        raw: The folder.
        options: What a user chooses.
        only: A single source to look at, with the transcripts beside it.
    """
    files = sorted(raw.files(), key=lambda file: (kind_of(file) != "jsonl", file.source))
    heard = [file for file in files if kind_of(file) == "audio"]
    sidecars = sidecars_of(files, heard)
    stems = {stem_of(file.source) for file in heard}
    used = {sidecar.source for beside in sidecars.values() for sidecar in beside}
    used |= {file.source for file in files if suffix_of(file.source) == TURNS and stem_of(file.source) in stems}
    tally, chosen = Tally(), options or IngestionOptions()
    context = _Context(raw, chosen, tally, fingerprint([[file.source, file.size, file.modified_ns] for file in heard]))
    items = [
        context.item(file, sidecars.get(file.source, ()))
        for file in files
        if (file.source not in used and only is None) or file.source == only
    ]
    return Work("ingestion", items, context.ingest, tally)


def kind_of(file: RawFile) -> str:
    """`jsonl`, `text`, `transcript` or `audio` by name; what claims to be audio must prove it. `none`: no file."""
    if not file.regular:
        return "none"
    suffix = suffix_of(file.source)
    kinds = {"jsonl": JSONL, "text": TEXT, "transcript": TRANSCRIPT}
    return next((kind for kind, suffixes in kinds.items() if suffix in suffixes), "audio")


@dataclass(frozen=True)
class _Context:
    raw: RawFolder
    options: IngestionOptions
    tally: Tally
    heard: str
    """Stands for the folder's recordings: JSON lines that name some depend on them."""

    def item(self, file: RawFile, beside: Sequence[RawFile]) -> Item:
        others = [[other.source, other.size, other.modified_ns] for other in beside]
        heard = self.heard if kind_of(file) == "jsonl" and _names_audio(file) else None
        key = fingerprint(
            VERSION, self.options.model_dump(mode="json"), file.source, file.size, file.modified_ns, others, heard
        )
        return Item(fingerprint(file.source), key, (file, beside), file.source)

    def ingest(self, items: Sequence[Item]) -> Iterator[Outcome]:
        for item in items:
            try:
                yield Made(item, self._rows(item, *item.payload))
            except NymphError as error:
                yield failure_of(item, error)
            except UNREADABLE as error:
                yield failure_of(item, unreadable(error))

    def _rows(self, item: Item, file: RawFile, beside: Sequence[RawFile]) -> Iterable[Row]:
        kind = kind_of(file)
        if kind == "none":
            raise IngestionError("no_file", "expected a file, got a link, a pipe or a closed folder; put a copy here")
        if kind == "transcript":
            raise IngestionError("no_recording", "expected a recording of the same name beside this transcript")
        if file.path.stat().st_size == 0:
            raise IngestionError("empty", "expected content, got a file of zero bytes")
        if kind == "audio" and is_packed(file.source):
            raise IngestionError("packed", "expected a recording as it is, got one packed by gzip or zstd; unpack it")
        if kind == "audio":
            return [self._recording(item, file, beside)]
        if kind == "text":
            unit = sha256_file(file.path)[:ID_DIGITS]
            return [text_row(file, unit, read_text(file), cleaner(self.options))]
        return in_units(_Lines(self, item, file).rows())

    def _recording(self, item: Item, file: RawFile, beside: Sequence[RawFile]) -> Row:
        """The row of a recording with the best of its transcripts that can be read."""
        row = audio_row(file)
        for sidecar in beside:
            try:
                given = given_columns(read_transcript(sidecar, row["duration_s"]), cleaner(self.options))
            except NymphError as error:
                blamed = Item(item.id, item.key, source=sidecar.source)
                self.tally.fail(failure_of(blamed, error))
            else:
                return row | given
        return row


@dataclass(frozen=True)
class _Lines:
    """One JSON lines file on its way."""

    context: _Context
    item: Item
    file: RawFile

    def rows(self) -> Iterator[Row]:
        """Rows of its lines in order, then of the trees that flat messages make."""
        flat, records, kept = FlatMessages(), 0, 0
        for line in read_lines(self.file.path, self._fail):
            records += 1
            for row in self._guarded(line.number, partial(self._of_line, line, flat), kept):
                kept += row["kind"] == "chat"
                yield row
        for number, tree in flat.trees():
            make = partial(tree_row, tree, number, self.file, self.context.options)
            for row in self._guarded(number, make, kept):
                kept += 1
                yield row
        if not records and not any(failure.item is self.item for failure in self.context.tally.failures[-1:]):
            self._fail(1, "empty", "expected records, got blank lines")

    def _of_line(self, line: Line, flat: FlatMessages) -> Iterable[Row]:
        if is_flat_message(line.value):
            flat.add(line)
            return ()
        return line_rows(line, self.file, self.context.raw, self.context.options)

    def _guarded(self, number: int, make: Callable[[], Iterable[Row]], kept: int) -> Iterable[Row]:
        """All rows of a record, or none and an entry in quarantine."""
        most = self.context.options.chat.maximum_conversations
        try:
            rows = list(make())
            if most is not None and kept >= most and any(row["kind"] == "chat" for row in rows):
                raise IngestionError("left_out", f"expected at most {most} conversations in a file")
        except NymphError as error:
            self._fail(number, getattr(error, "reason", "bad_record"), str(error))
        except OSError as error:
            self._fail(number, unreadable(error).reason, str(unreadable(error)))
        else:
            return rows
        return ()

    def _fail(self, number: int, reason: str, message: str) -> None:
        self.context.tally.fail(Failed(self.item, reason, message, number))


def _names_audio(file: RawFile) -> bool:
    """Whether a JSON lines file names recordings, as far as its beginning shows."""
    try:
        with open_compressed(file.path) as stream:
            return b'"audio"' in stream.read(_HEAD)
    except UNREADABLE:
        return False
