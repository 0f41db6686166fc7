"""Decoding: every container to the same mono samples, every broken file to its own reason."""

import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from nymph.audio.decode import REASONS, AudioError, AudioInfo, decode, decode_blocks, probe
from tests.memory import PEAK


def sine(rate: int, hertz: float = 220.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)).astype(np.float32)


def header(rate: int = 16_000, channels: int = 1, claimed: int = 3200, bits: int = 16, data: bytes = b"") -> bytes:
    """A WAV with any header at all."""
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * channels * 2 % 2**32, channels * 2 % 2**16, bits)
    return b"RIFF" + struct.pack("<I", 36 + claimed) + b"WAVEfmt " + form + b"data" + struct.pack("<I", claimed) + data


SOUND = bytes(3200)

BROKEN = {
    "zero bytes": (b"", "empty"),
    "text": (b"This is a transcript, not a recording.\n" * 50, "not_audio"),
    "zeros": (bytes(10_000), "not_audio"),
    "noise": (np.random.default_rng(0).bytes(10_000), "not_audio"),
    "half a header": (header()[:20], "not_audio"),
    "a playlist": (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        "not_audio",
    ),
    "a list of files": (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "not_audio"),
    "header only": (header(claimed=0), "no_samples"),
    "header that claims sound": (header(claimed=32_000), "no_samples"),
    "0 Hz": (header(rate=0, data=SOUND), "unsupported_rate"),
    "4 GHz": (header(rate=4_000_000_000, data=SOUND), "unsupported_rate"),
    "768 kHz": (header(rate=768_000, data=SOUND), "unsupported_rate"),
    "no channel": (header(channels=0, data=SOUND), "unsupported_channels"),
    "65535 channels": (header(channels=65_535, data=SOUND), "unsupported_channels"),
    "0 bits": (header(bits=0, data=SOUND), "unsupported_codec"),
    "cut in half": (header(claimed=64_000, data=bytes(32_000)), "truncated"),
}


@pytest.mark.parametrize(("content", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_file_says_why(content, reason, tmp_path):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"broken\.wav") as failure:
        decode(path)
    assert failure.value.reason == reason
    assert REASONS[reason] in str(failure.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "non_finite"), (np.inf, "non_finite"), (-np.inf, "non_finite"), (1e20, "out_of_range")],
)
def test_impossible_sample_is_refused(value, reason, make_file, tone):
    tone = tone.copy()
    tone[1000] = value
    with pytest.raises(AudioError) as failure:
        decode(make_file(tone, subtype="FLOAT"))
    assert failure.value.reason == reason


@pytest.mark.parametrize("container", ["FLAC", "MP3"])
def test_compressed_file_cut_in_half_is_refused(container, make_file, speech):
    whole = make_file(speech[:80_000], container=container)
    assert len(decode(whole)) == pytest.approx(80_000, abs=2000)
    with pytest.raises(AudioError) as failure:
        decode(whole[: len(whole) // 2])
    assert failure.value.reason in {"truncated", "corrupt"}


def test_damage_inside_an_mp3_is_corrupt(make_file, speech):
    content = bytearray(make_file(speech[:80_000], container="MP3"))
    middle = len(content) // 2
    content[middle : middle + 600] = np.random.default_rng(0).bytes(600)
    with pytest.raises(AudioError) as failure:
        decode(bytes(content))
    assert failure.value.reason == "corrupt"


def test_missing_file_and_folder(tmp_path):
    for path, reason in [(tmp_path / "none.wav", "missing"), (tmp_path, "unreadable")]:
        with pytest.raises(AudioError) as failure:
            probe(path)
        assert failure.value.reason == reason


def test_error_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(AudioError("empty", "a.wav: no bytes")))
    assert (error.reason, str(error)) == ("empty", "a.wav: no bytes")


def test_probe_reads_headers(make_file, tone):
    stereo = np.stack([tone, tone], axis=1)
    assert probe(make_file(stereo, rate=48_000)) == AudioInfo("wav", "pcm_s16le", 16_000 / 48_000, 48_000, 2)


@pytest.mark.parametrize(("container", "error"), [("WAV", 1e-4), ("FLAC", 1e-4), ("OGG", 0.1), ("MP3", 0.1)])
def test_containers_give_the_same_sound(container, error, make_file, tone):
    samples = decode(make_file(tone, container=container))
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(len(tone), abs=600)
    inner = slice(2000, 14_000)
    assert np.abs(samples[inner] - tone[inner]).max() < error


def test_extension_is_not_believed(make_file, tone, tmp_path):
    path = tmp_path / "really_flac.wav"
    path.write_bytes(make_file(tone, container="FLAC"))
    assert probe(path).container == "flac"
    assert len(decode(path)) == len(tone)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_rates_are_resampled_to_16_khz(rate, make_file):
    samples = decode(make_file(sine(rate), rate=rate))
    assert len(samples) == pytest.approx(16_000, abs=1)
    assert np.abs(samples - sine(16_000))[200:-200].max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 16])
def test_channels_are_averaged(channels, make_file, tone):
    planes = np.zeros((len(tone), channels), np.float32)
    planes[:, channels - 1] = tone  # only the last one sounds
    samples = decode(make_file(planes, subtype="FLOAT"))
    np.testing.assert_allclose(samples, tone / channels, atol=1e-6)


def test_silence_one_sample_and_clipping_are_sound(make_file, tone):
    assert not decode(make_file(np.zeros(16_000))).any()
    assert decode(make_file(tone[:1])).shape == (1,)
    assert np.abs(decode(make_file(np.clip(tone * 10, -1, 1)))).max() == pytest.approx(1.0, abs=1e-4)


def test_blocks_are_the_whole_in_pieces(speech_path, speech):
    blocks = list(decode_blocks(speech_path, block_s=7.0))
    assert [len(block) for block in blocks] == [112_000] * 4 + [32_000]
    np.testing.assert_array_equal(np.concatenate(blocks), speech)


def test_target_rate(make_file, tone):
    assert len(decode(make_file(tone), sample_rate=8000)) == 8000


GROWTH = f"""{PEAK}
import sys
from nymph.audio.decode import decode_blocks
before = peak()
print(sum(map(len, decode_blocks(sys.argv[1]))), peak() - before)
"""


@pytest.mark.slow
def test_ten_hours_in_a_small_flac_stay_small(tmp_path):
    path = tmp_path / "bomb.flac"
    with soundfile.SoundFile(path, "w", 16_000, 1, format="FLAC") as file:
        for _ in range(600):
            file.write(np.zeros(960_000, np.int16))
    assert path.stat().st_size < 3e6
    samples, kib = subprocess.check_output([sys.executable, "-c", GROWTH, path], text=True).split()
    assert int(samples) == 576_000_000
    assert int(kib) < 100_000
