"""Loudness by the standard's own figures; clipping and silence counted; memory that does not grow."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nymph.reporting.sound import measure
from tests.memory import PEAK


def sine(seconds: float, amplitude: float, rate: int = 48_000, hertz: float = 997.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def figures(samples: np.ndarray, rate: int = 48_000) -> dict[str, float]:
    row: dict[str, float] = measure("a", np.array_split(samples, 7), rate).to_pylist()[0]
    return row


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000, 96_000])
def test_a_full_scale_sine_has_the_loudness_the_standard_gives(rate: int) -> None:
    assert figures(sine(3, 1.0, rate), rate)["loudness_lufs"] == pytest.approx(-3.01, abs=0.06)


def test_quiet_stretches_are_gated_out() -> None:
    loud = sine(4, 0.1)
    both = np.concatenate([loud, np.zeros(48_000 * 8, np.float32), sine(8, 0.0005)])
    assert figures(both)["loudness_lufs"] == pytest.approx(figures(loud)["loudness_lufs"], abs=0.2)


def test_clipping_peak_and_silence_are_shares() -> None:
    sound = np.concatenate([np.full(1000, 1.0), np.full(1000, -1.0), np.zeros(14_000)]).astype(np.float32)
    row = figures(sound, 16_000)
    assert row["clipped_share"] == pytest.approx(2000 / 16_000)
    assert row["peak_db"] == 0.0
    assert row["silent_share"] == pytest.approx(43 / 50)
    assert row["seconds"] == 1.0


def test_silence_has_no_loudness_and_no_peak() -> None:
    row = figures(np.zeros(16_000, np.float32), 16_000)
    assert (row["loudness_lufs"], row["peak_db"], row["silent_share"]) == (None, None, 1.0)


GROWTH = f"""{PEAK}
import sys
from nymph.audio.decode import decode_blocks
from nymph.reporting.sound import measure
measure("warm", decode_blocks(sys.argv[2], 16000), 16000)
before = peak()
print(measure("a", decode_blocks(sys.argv[1], 16000), 16000)["seconds"][0], peak() - before)
"""


@pytest.mark.slow
def test_an_hour_needs_the_memory_of_a_block(tmp_path: Path) -> None:
    for name, minutes in (("long.flac", 60), ("short.flac", 1)):
        with soundfile.SoundFile(tmp_path / name, "w", 16_000, 1, format="FLAC") as file:
            for _ in range(minutes):
                file.write(np.zeros(960_000, np.int16))
    command = [sys.executable, "-c", GROWTH, tmp_path / "long.flac", tmp_path / "short.flac"]
    seconds, kib = subprocess.check_output(command, text=True).split()
    assert float(seconds) == 3600
    assert int(kib) < 50_000  # 11,000 were seen; the samples are 230,000
