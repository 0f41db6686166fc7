"""The frame table: one schema, one row a frame, the same rows however the recording comes."""

import numpy as np
import pyarrow as pa
import pytest

from nymph.audio.decode import AudioError, decode
from nymph.audio.frames import FRAME_SCHEMA, extract_frames, frame_table
from nymph.audio.pitch import pitch
from nymph.audio.spectrogram import spectral_features


def column(table: pa.Table, name: str) -> np.ndarray:
    values = table[name].combine_chunks()
    width = getattr(values.type, "list_size", None)
    return values.flatten().to_numpy().reshape(-1, width) if width else values.to_numpy(zero_copy_only=False)


def test_rows_are_the_features_of_the_whole(speech_path, speech):
    table = frame_table(speech_path)
    spectral, track = spectral_features(speech), pitch(speech)
    assert table.schema.equals(FRAME_SCHEMA, check_metadata=True)
    for name in ("log_mel", "mfcc", "energy_db"):
        np.testing.assert_array_equal(column(table, name), getattr(spectral, name))
    for name in ("f0_hz", "voiced", "voiced_probability"):
        np.testing.assert_array_equal(column(table, name), getattr(track, name))


@pytest.mark.parametrize("samples", [0, 1, 160, 8000])
def test_short_recordings_have_all_their_frames(samples, speech):
    table = frame_table([speech[:samples]])
    assert len(table) == 1 + samples // 160
    assert sum(table[name].null_count for name in table.column_names) == 0


def test_batches_come_while_the_recording_goes_on(speech):
    seen = 0

    def blocks():
        for block in np.split(speech, 30):
            yield block
            batches_at_yield.append(seen)

    batches_at_yield: list[int] = []
    for batch in extract_frames(blocks()):
        assert batch.num_rows > 0
        seen += batch.num_rows
    assert seen == 3001
    assert batches_at_yield[20] > 1500


@pytest.mark.parametrize("rate", [8000, 48_000, 96_000])
def test_any_rate_gives_the_same_hop(rate, make_file):
    samples = np.sin(2 * np.pi * 150 * np.arange(rate) / rate)
    table = frame_table(make_file(samples, rate=rate))
    assert len(table) == 101
    assert np.nanmedian(column(table, "f0_hz")) == pytest.approx(150, rel=0.006)


def test_values_are_finite_but_for_unvoiced_pitch(make_file, tone):
    for sound in (np.zeros(16_000), np.clip(tone * 100, -1, 1), np.eye(1, 16_000, 8000)[0]):
        table = frame_table(decode(make_file(sound)) for _ in range(1))
        for name in ("log_mel", "mfcc", "energy_db", "voiced_probability"):
            assert np.isfinite(column(table, name)).all()
        np.testing.assert_array_equal(np.isnan(column(table, "f0_hz")), ~column(table, "voiced"))


def test_broken_file_raises():
    with pytest.raises(AudioError):
        frame_table(b"")
