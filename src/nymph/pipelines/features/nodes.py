"""Frame-level features of every recording, and what they say of each utterance."""

from functools import partial

import pyarrow as pa

from nymph.audio.decode import decode_blocks
from nymph.audio.frames import FRAME_SCHEMA
from nymph.audio.frames import extract_frames as frames_of
from nymph.audio.speaker import SpeakerEncoder
from nymph.compute import ComputeOptions, PerItem
from nymph.features.speakers import SpeakerUpdate, Voice, voices
from nymph.features.utterances import describe_utterances as describe
from nymph.files import fingerprint
from nymph.ingestion.raw import RawFolder
from nymph.lazy import Lazy
from nymph.pipelines.features.options import FeatureOptions
from nymph.stages import Item, Work, whole
from nymph.stores.items import StoredItems
from nymph.stores.quarantine import Quarantine
from nymph.stores.recordings import Recordings

VERSION = 1
"""Raised when the same recording and options would give other frames than before."""

UTTERANCES_VERSION = 3
"""Raised when the same segments and frames would be described otherwise than before."""

SPEAKERS_VERSION = 1
"""Raised when the same voices would give other speakers than before."""


def extract_frames(
    raw: RawFolder, recordings: Recordings, options: FeatureOptions, compute: ComputeOptions
) -> tuple[Work, Quarantine]:
    """Declare mel, MFCC, energy and pitch of every recording."""
    chosen = options.model_dump(mode="json", include={"pitch"})
    items = [
        Item(unit, fingerprint(VERSION, unit, chosen), source=rows[0]["source"])
        for unit, rows in recordings.units("speech").items()
    ]
    work = Work("features", items, PerItem(partial(_extract, raw, options), compute))
    return work, Quarantine(work)


def describe_utterances(
    raw: RawFolder,
    recordings: Recordings,
    transcripts: StoredItems,
    frames: StoredItems,
    speaker_encoder: Lazy[SpeakerEncoder],
    compute: ComputeOptions,
) -> tuple[Work, Quarantine]:
    """Declare prosody and speaker vector of every utterance whose recording has a transcript and frames."""
    items = [
        Item(
            unit,
            fingerprint(UTTERANCES_VERSION, transcripts.keys[unit], frames.keys[unit], speaker_encoder.identity),
            source=rows[0]["source"],
        )
        for unit, rows in recordings.units("speech").items()
        if unit in transcripts and unit in frames
    ]
    one = partial(_describe, raw, transcripts, frames, speaker_encoder)
    work = Work("features", items, PerItem(one, compute.for_model(speaker_encoder.single)))
    return work, Quarantine(work)


def identify_speakers(transcripts: StoredItems, features: StoredItems, options: FeatureOptions) -> Work:
    """Declare the table of speakers: who each label that diarization gave within a recording is, across recordings."""
    distance = options.speaker_distance
    keys = {
        unit: fingerprint(SPEAKERS_VERSION, transcripts.keys[unit], key, distance)
        for unit, key in features.keys.items()
    }
    return whole(
        "speakers", fingerprint(keys), lambda: SpeakerUpdate(keys, partial(_voices, transcripts, features), distance)
    )


def _voices(transcripts: StoredItems, features: StoredItems, unit: str) -> list[Voice]:
    said = transcripts.read(unit, ["index", "start", "end", "speaker"])
    return voices(said, features.read(unit, ["index", "speaker_vector"]))


def _extract(raw: RawFolder, options: FeatureOptions, item: Item) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(FRAME_SCHEMA, frames_of(raw.path_of(item.source), options.pitch))


def _describe(
    raw: RawFolder, transcripts: StoredItems, frames: StoredItems, encoder: Lazy[SpeakerEncoder], item: Item
) -> pa.Table:
    segments = transcripts.read(item.id, ["recording", "index", "start", "end", "words"])
    pitch = frames.read(item.id, ["f0_hz", "voiced", "energy_db"])
    return describe(segments, pitch, decode_blocks(raw.path_of(item.source)), encoder.get())
