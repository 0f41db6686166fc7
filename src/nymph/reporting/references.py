"""Recordings whose words, times or speakers are known, found as ingestion finds them: what a transcriber is held to.

Whatever brings a transcript into a corpus is a reference here: `.stm`, `.TextGrid` and `.txt` beside a recording, and
JSON lines that name it. `.rttm` beside it says who speaks when, and wins over the other's speakers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nymph.errors import NymphError
from nymph.ingestion.raw import RawFolder
from nymph.ingestion.scan import declare_recordings
from nymph.stages import Made
from nymph.transcription.comparison import Reference
from nymph.transcription.scoring import Turn, read_rttm


def find_references(folder: Path) -> list[Reference]:
    """Recordings below a folder that something is known of, each content once.

    Raises:
        NymphError: there are none, or an `.rttm` is damaged.
    """
    raw = RawFolder(folder.resolve())
    found = [_reference(raw.path_of(row["source"]), row) for row in _recordings(raw)]
    references = [reference for reference in found if reference.text or reference.speakers]
    if not references:
        raise NymphError(
            f"{folder}: expected recordings with a transcript: a .stm, .TextGrid, .rttm or .txt of the same name "
            'beside them, or JSON lines {"audio": "path", "text": "..."}'
        )
    return references


def _recordings(raw: RawFolder) -> Iterator[dict[str, Any]]:
    """The rows of recordings; JSON lines come first, so of equal contents the one with a transcript stays."""
    seen = set()
    for outcome in declare_recordings(raw).outcomes(lambda item: False):
        for row in outcome.value if isinstance(outcome, Made) else ():
            if row["kind"] == "speech" and row["id"] not in seen:
                seen.add(row["id"])
                yield row


def _reference(recording: Path, row: dict[str, Any]) -> Reference:
    said = [part for part in row.get("segments") or () if part["start"] is not None]
    turns = [Turn(part["speaker"] or "", part["start"], part["end"]) for part in said]
    words = [Turn("", word["start"], word["end"]) for part in said for word in part["words"] or ()]
    rttm = recording.with_suffix(".rttm")
    named = [turn for turn in turns if turn.speaker]
    return Reference(
        recording=recording,
        text=row.get("text"),
        timed=words or turns,
        speakers=read_rttm(rttm) if rttm.is_file() else named,
    )
