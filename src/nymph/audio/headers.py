"""What a file's own first bytes claim, where libav keeps it to itself.

libav refuses odd WAV headers without saying why, cuts the claimed length of a WAV to the bytes that are there, and
does not tell a counted duration from one guessed from the bit rate. Only RIFF WAVE is read here; of other containers
nothing but whether an MP3 carries the frame count its encoder wrote.
"""

import os
from dataclasses import dataclass
from typing import IO, Literal

_UNKNOWN_SIZE = 0x7FFF_F000  # writers that cannot seek back leave a size of 0, 2**31 - 1 or 2**32 - 1
_HEAD = 65_536
_TAG = 1 << 20
_ESTIMATED = {"aac", "ac3", "eac3", "amr", "dts", "loas", "mp3", "mpeg", "mpegts"}


@dataclass(frozen=True)
class WavHeader:
    """The fields of a WAV header that decide whether a file is usable."""

    channels: int
    sample_rate: int
    missing_share: float
    """Bytes of the claimed file that are not there, per byte that is; 0 where no size is claimed."""


def read_wav_header(file: IO[bytes]) -> WavHeader | None:
    """The header of a RIFF WAVE file, or None if it is none. Moves the file's position."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEAD)
    at = head.find(b"fmt ")
    if head[:4] not in (b"RIFF", b"RIFX") or at < 0 or len(head) < at + 16:
        return None
    order: Literal["big", "little"] = "big" if head[:4] == b"RIFX" else "little"
    claimed = int.from_bytes(head[4:8], order) + 8
    missing = max(0, claimed - size) if claimed < _UNKNOWN_SIZE else 0
    return WavHeader(
        channels=int.from_bytes(head[at + 10 : at + 12], order),
        sample_rate=int.from_bytes(head[at + 12 : at + 16], order),
        missing_share=missing / size,
    )


def duration_is_counted(container: str, file: IO[bytes]) -> bool:
    """Whether the claimed duration was counted by the writer rather than estimated by libav from the bit rate."""
    if not _ESTIMATED & set(container.split(",")):
        return True
    file.seek(0)
    head = file.read(_TAG)
    return container == "mp3" and (b"Xing" in head or b"Info" in head)
