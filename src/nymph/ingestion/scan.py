"""Every file of the raw folder becomes rows or a quarantined file, told apart by name and then by content."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

from nymph.errors import NymphError
from nymph.files import fingerprint, sha256_file
from nymph.ingestion.documents import ID_DIGITS, Row, audio_row, line_rows, text_row
from nymph.ingestion.jsonl import open_compressed, read_lines
from nymph.ingestion.raw import RawFile, RawFolder
from nymph.stages import Failed, Item, Made, Outcome, Tally, Work, failure_of

JSONL = (".jsonl", ".ndjson")
TEXT = (".txt", ".md")
VERSION = 1
"""Raised when the same file would give other rows than before."""

MAXIMUM_TEXT = 256 * 1024 * 1024
"""Bytes of one text file; longer ones belong into JSON lines, a document a line."""


def declare_recordings(raw: RawFolder) -> Work:
    """Work with one item a file; JSON lines come first, so that the transcripts they bring win over bare files."""
    files = sorted(raw.files(), key=lambda file: (kind_of(file) != "jsonl", file.source))
    sidecars = _sidecars(files)
    items = [
        _item(file, sidecars.get(file.source))
        for file in files
        if file.source not in {sidecar.source for sidecar in sidecars.values()}
    ]
    tally = Tally()
    return Work("ingestion", items, partial(_ingest, raw, tally), tally)


def _item(file: RawFile, sidecar: RawFile | None) -> Item:
    return Item(fingerprint(file.source), _file_key(file, sidecar), (file, sidecar), file.source)


def kind_of(file: RawFile) -> str:
    """`jsonl`, `text` or `audio` by name; what claims to be audio must prove it."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(file.source).suffixes]
    suffix = next((suffix for suffix in reversed(suffixes) if suffix not in (".gz", ".zst")), "")
    return "jsonl" if suffix in JSONL else "text" if suffix in TEXT else "audio"


def _sidecars(files: Sequence[RawFile]) -> dict[str, RawFile]:
    """Recording -> the .txt of the same name beside it, which is its transcript."""
    texts = {file.source.removesuffix(".txt"): file for file in files if file.source.endswith(".txt")}
    stems = ((file, file.source.rpartition(".")[0]) for file in files if kind_of(file) == "audio")
    return {file.source: texts[stem] for file, stem in stems if stem in texts}


def _file_key(file: RawFile, sidecar: RawFile | None) -> str:
    beside = [sidecar.size, sidecar.modified_ns] if sidecar else None
    return fingerprint(VERSION, file.source, file.size, file.modified_ns, beside)


def _ingest(raw: RawFolder, tally: Tally, items: Sequence[Item]) -> Iterator[Outcome]:
    for item in items:
        file, sidecar = item.payload
        try:
            yield Made(item, _rows(raw, tally, item, file, sidecar))
        except (NymphError, OSError) as error:
            yield failure_of(item, error)


def _rows(raw: RawFolder, tally: Tally, item: Item, file: RawFile, sidecar: RawFile | None) -> Iterable[Row]:
    if file.size == 0:
        raise IngestionError("empty", "expected content, got a file of zero bytes")
    kind = kind_of(file)
    if kind == "audio":
        return [audio_row(file, _read_text(sidecar) if sidecar else None)]
    unit = sha256_file(file.path)[:ID_DIGITS]
    if kind == "text":
        return [text_row(file, unit, _read_text(file))]
    return _line_rows(raw, tally, item, file, unit)


def _line_rows(raw: RawFolder, tally: Tally, item: Item, file: RawFile, unit: str) -> Iterator[Row]:
    def bad_line(number: int, reason: str, message: str) -> None:
        tally.fail(Failed(item, reason, message, number))

    for line in read_lines(file.path, bad_line):
        try:
            yield from line_rows(line, file, unit, raw)
        except (NymphError, OSError) as error:
            bad_line(line.number, getattr(error, "reason", "bad_record"), str(error))


def _read_text(file: RawFile) -> str:
    with open_compressed(file.path) as stream:
        data = stream.read(MAXIMUM_TEXT + 1)
    if len(data) > MAXIMUM_TEXT:
        raise IngestionError("too_long", f"expected at most {MAXIMUM_TEXT} bytes of text; use JSON lines")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IngestionError("not_text", f"expected UTF-8 text, got byte {data[error.start]:#04x}") from error
    if "\0" in text or not text.strip():
        raise IngestionError("not_text", "expected text, got NUL bytes or nothing but space")
    return text


class IngestionError(NymphError):
    """A file that cannot be used, with the short reason that the quarantine counts by."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
