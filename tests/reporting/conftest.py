"""A mixed folder, and both reports of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from nymph.compute import ComputeOptions
from nymph.ingestion.raw import RawFolder
from nymph.ingestion.scan import declare_recordings
from nymph.reporting.corpus import ingested_report
from nymph.reporting.sound import declare_statistics
from nymph.stores.items import StoredItems, save_items
from nymph.stores.quarantine import Quarantine, load_failures, save_quarantine
from nymph.stores.recordings import Recordings, save_recordings

TURNS = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Nine inputs: three recordings (one with a transcript, one cut short), two texts, four records of JSON lines."""
    raw = tmp_path / "raw"
    raw.mkdir()
    time = np.arange(32_000) / 16_000
    for name, hertz in (("a", 220), ("b", 330), ("cut", 440)):
        soundfile.write(raw / f"{name}.wav", 0.3 * np.sin(2 * np.pi * hertz * time), 16_000)
    (raw / "cut.wav").write_bytes((raw / "cut.wav").read_bytes()[:20_000])
    (raw / "a.stm").write_text("a 1 Ann 0.5 1.5 hello there\n")
    (raw / "one.txt").write_text("some words")
    (raw / "again.txt").write_text("some words")
    records = [{"text": "t"}, {"messages": TURNS}, {"messages": TURNS[:1]}, {"nothing": 1}]
    (raw / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return raw


def ingested(raw: Path, place: Path) -> dict[str, Any]:
    """The report of the ingestion pipeline's work, carried out at `place`."""
    work = declare_recordings(RawFolder(raw))
    save_recordings(place / "recordings.parquet", work)
    save_quarantine(place / "unusable.parquet", Quarantine(work))
    recordings = Recordings.open(place / "recordings.parquet")
    sound = declare_statistics(RawFolder(raw), recordings, ComputeOptions())
    save_items(place / "statistics", sound)
    save_quarantine(place / "undecodable.parquet", Quarantine(sound))
    unusable, undecodable = (load_failures(place / f"{name}.parquet") for name in ("unusable", "undecodable"))
    return ingested_report("raw", recordings, StoredItems.open(place / "statistics"), unusable, undecodable)
