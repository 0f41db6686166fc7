"""Give every unit its segments: recordings are transcribed, unless their transcript came with them."""

from functools import partial
from typing import Any

import pyarrow as pa

from nymph.audio.decode import decode_blocks
from nymph.compute import ComputeOptions, PerItem
from nymph.files import fingerprint
from nymph.ingestion.raw import RawFolder
from nymph.lazy import Lazy
from nymph.stages import Item, Work
from nymph.stores.quarantine import Quarantine
from nymph.stores.recordings import Recordings
from nymph.transcription.engine import Transcriber
from nymph.transcription.segments import given_segments, spoken_segments

VERSION = 3
"""Raised when the same recording and options would give other segments than before."""

GIVEN_VERSION = 2
"""Raised when the same given transcript, document or conversation would."""


def transcribe_recordings(
    raw: RawFolder, recordings: Recordings, transcriber: Lazy[Transcriber], compute: ComputeOptions
) -> tuple[Work, Quarantine]:
    """Declare the segments of every unit; only recordings without a transcript need the model."""
    items = [
        Item(unit, _key(rows, transcriber), _is_spoken(rows), rows[0]["source"])
        for unit, rows in recordings.units().items()
    ]
    one = partial(_transcribe, raw, recordings, transcriber)
    work = Work("transcription", items, PerItem(one, compute.for_model(transcriber.single)))
    return work, Quarantine(work)


def _is_spoken(rows: list[dict[str, Any]]) -> bool:
    return rows[0]["kind"] == "speech" and not rows[0]["has_text"]


def _key(rows: list[dict[str, Any]], transcriber: Lazy[Transcriber]) -> str:
    if _is_spoken(rows):
        return fingerprint(VERSION, [row["id"] for row in rows], transcriber.identity)
    return fingerprint(GIVEN_VERSION, [[row["id"], row["given"]] for row in rows], "given")


def _transcribe(raw: RawFolder, recordings: Recordings, transcriber: Lazy[Transcriber], item: Item) -> pa.Table:
    if item.payload:
        return spoken_segments(item.id, transcriber.get().transcribe(decode_blocks(raw.path_of(item.source))))
    return given_segments(recordings.read_unit(item.id))
