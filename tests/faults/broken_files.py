"""Files that are broken in every way we know, with the reason each must be quarantined for."""

import gzip
import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile


def wav_header(rate: int = 16_000, channels: int = 1, claimed: int = 3200, bits: int = 16, data: bytes = b"") -> bytes:
    """A WAV with any header at all."""
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * channels * 2 % 2**32, channels * 2 % 2**16, bits)
    return b"RIFF" + struct.pack("<I", 36 + claimed) + b"WAVEfmt " + form + b"data" + struct.pack("<I", claimed) + data


def sound(hertz: float, seconds: float = 1.0, rate: int = 16_000, container: str = "WAV", **options: str) -> bytes:
    """A sine in a container."""
    time = np.arange(round(seconds * rate)) / rate
    return encoded(0.3 * np.sin(2 * np.pi * hertz * time), rate, container, **options)


def encoded(samples: np.ndarray, rate: int = 16_000, container: str = "WAV", **options: str) -> bytes:
    """Samples [n] or [n, channels] in a container."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, **options)
    return buffer.getvalue()


def _poisoned(value: float) -> bytes:
    samples = np.zeros(16_000, np.float32)
    samples[8000] = value
    return encoded(samples, subtype="FLOAT")


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


_SOUND = bytes(3200)
_NOISE = np.random.default_rng(0)
_ROWS = b"".join(b'{"text": "%s"}\n' % os.urandom(8).hex().encode() for _ in range(300))

BROKEN: dict[str, tuple[bytes, str]] = {
    "zero.wav": (b"", "empty"),
    "text.wav": (b"This is a transcript, not a recording.\n" * 50, "not_audio"),
    "zeros.mp3": (bytes(10_000), "not_audio"),
    "noise.flac": (_NOISE.bytes(10_000), "not_audio|unsupported_rate"),
    "half_a_header.wav": (wav_header()[:20], "not_audio"),
    "playlist.m3u8": (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n", "not_audio"),
    "packed.wav.gz": (gzip.compress(sound(100)), "packed"),
    "header_only.wav": (wav_header(claimed=0), "no_samples"),
    "claims.wav": (wav_header(claimed=32_000), "no_samples"),
    "0_hz.wav": (wav_header(rate=0, data=_SOUND), "unsupported_rate"),
    "4_ghz.wav": (wav_header(rate=4_000_000_000, data=_SOUND), "unsupported_rate"),
    "768_khz.wav": (wav_header(rate=768_000, data=_SOUND), "unsupported_rate"),
    "no_channel.wav": (wav_header(channels=0, data=_SOUND), "unsupported_channels"),
    "65535_channels.wav": (wav_header(channels=65_535, data=_SOUND), "unsupported_channels"),
    "0_bits.wav": (wav_header(bits=0, data=_SOUND), "unsupported_codec"),
    "cut.wav": (wav_header(claimed=64_000, data=bytes(32_000)), "truncated"),
    "cut.flac": (_half(sound(210, 4, container="FLAC")), "truncated|corrupt"),
    "cut.mp3": (_half(sound(220, 4, container="MP3")), "truncated|corrupt"),
    "nan.wav": (_poisoned(np.nan), "non_finite"),
    "infinity.wav": (_poisoned(np.inf), "non_finite"),
    "far_too_loud.wav": (_poisoned(1e20), "out_of_range"),
    "nothing.txt": (b"", "empty"),
    "latin1.txt": ("café".encode("latin-1"), "not_text"),
    "nul.md": (b"a\0b", "not_text"),
    "spaces.txt": (b" \n\t\n", "not_text"),
    "short.txt.gz": (_half(gzip.compress(_ROWS)), "truncated"),
    "not_zstd.md.zst": (b"plain", "truncated"),
    "utf16.jsonl": ('{"text": "a"}'.encode("utf-16"), "bad_json"),
    "blank.jsonl": (b"\n\n", "empty"),
    "not_gzip.jsonl.gz": (b'{"text": "a"}\n', "truncated"),
    "array.jsonl": (b'[{"text": "a"}]\n', "bad_json"),
    "lonely.stm": (b"lonely 1 A 0 1 hello\n", "no_recording"),
    "lonely.TextGrid": (b"", "no_recording"),
}

GOOD: dict[str, Callable[[], bytes]] = {
    "plain.wav": lambda: sound(300),
    "flac_named.wav": lambda: sound(310, container="FLAC"),
    "music.ogg": lambda: sound(320, container="OGG"),
    "phone.wav": lambda: sound(330, rate=8000),
    "studio.wav": lambda: sound(340, rate=96_000),
    "silence.wav": lambda: encoded(np.zeros(16_000)),
    "one_sample.wav": lambda: encoded(np.full(1, 0.5)),
    "clipped.wav": lambda: encoded(np.clip(9 * np.sin(np.arange(16_000)), -1, 1)),
    "eight_channels.wav": lambda: encoded(np.tile(np.sin(np.arange(8000) / 9)[:, None], (1, 8))),
    "essay.txt": lambda: "Ein Text über Größe.\r\n".encode(),
    "essay.md.gz": lambda: gzip.compress(b"# A title"),
    "lines.jsonl.zst": lambda: pa.compress(b'{"text": "one"}\n{"text": "two"}\n', codec="zstd", asbytes=True),
    "chat.jsonl": lambda: json.dumps(
        {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]}
    ).encode(),
}


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Lay files out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
