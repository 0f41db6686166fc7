"""NIST's segment time marks: `file channel speaker start end <label> text`, one utterance a line (sclite, SCTK)."""

from collections.abc import Iterator

from nymph.ingestion.failures import IngestionError
from nymph.ingestion.given import Given, GivenSegment

_NOT_SAID = {"ignore_time_segment_in_scoring", "inter_segment_gap"}
_FIELDS = 5


def parse_stm(text: str, recording: str) -> Given:
    """The utterances of `recording`, a name without suffix, sorted by time.

    A file about one recording is taken whatever it calls it.

    Raises:
        IngestionError: a line that is none, or lines of other recordings alone.
    """
    lines = [_fields(number, line) for number, line in enumerate(text.split("\n"), 1) if _speaks(line)]
    names = {fields[0] for fields in lines}
    if len(names) > 1 and recording not in names:
        raise IngestionError("bad_transcript", f"expected lines for {recording!r}, got {', '.join(sorted(names)[:4])}")
    mine = (fields for fields in lines if len(names) == 1 or fields[0] == recording)
    return tuple(sorted(_segments(mine), key=lambda segment: (segment.start, segment.end)))


def _speaks(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(";;")


def _fields(number: int, line: str) -> list[str]:
    fields = line.split(maxsplit=_FIELDS)
    try:
        float(fields[3]), float(fields[4])
    except (IndexError, ValueError) as error:
        expected = "expected 'file channel speaker start end text'"
        raise IngestionError("bad_transcript", f"line {number}: {expected}, got {line[:60]!r}") from error
    return fields


def _segments(lines: Iterator[list[str]]) -> Iterator[GivenSegment]:
    for _, _, speaker, start, end, *rest in lines:
        text = rest[0].strip() if rest else ""
        if text.startswith("<"):  # a label such as <o,f0,male>
            text = text.partition(">")[2].strip()
        if text and speaker not in _NOT_SAID and text not in _NOT_SAID:
            yield GivenSegment(text, float(start), float(end), speaker)
