"""Why a file or a record cannot be used: a short reason to count by, and a message that says what to do."""

import zlib

import pyarrow as pa

from nymph.errors import NymphError

UNREADABLE = (OSError, EOFError, zlib.error, pa.ArrowInvalid)
"""What reading a file that is damaged, gone or forbidden may raise, plain or compressed."""


class IngestionError(NymphError):
    """Something that cannot be used, with the short reason that the quarantine counts by."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def unreadable(error: Exception) -> IngestionError:
    """What an error of `UNREADABLE` says about the file."""
    if isinstance(error, FileNotFoundError):
        return IngestionError("missing", "expected the file that was listed a moment ago; it is gone")
    if getattr(error, "errno", None) is None:  # not the system's word but the decompressor's
        return IngestionError("truncated", f"expected a whole compressed file: {error}")
    return IngestionError("unreadable", f"expected a readable file: {error}")
