"""Text made regular before it is stored: one form of each character, one line end, nothing that cannot be encoded.

The tokenizer itself changes nothing, so what is normalised here is normalised for good. Case, accents, punctuation and
inner spaces are content and stay.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nymph.errors import NymphError

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n|\r|\x85|\u2028|\u2029")


@dataclass(frozen=True)
class NormalisationOptions:
    """What is made regular."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    form: Literal["NFC", "NFKC", "none"] = "NFC"
    """Unicode normalisation form. NFKC also unfolds ligatures, full-width letters and superscripts."""
    surrogates: Literal["replace", "refuse"] = "replace"
    """Half a surrogate pair, which JSON can hold and UTF-8 cannot: U+FFFD instead, or an error."""


def has_surrogate(text: str) -> bool:
    """Whether it holds half a surrogate pair, so that it is no Unicode text and UTF-8 cannot hold it."""
    return _SURROGATE.search(text) is not None


def normalise(text: str, options: NormalisationOptions | None = None) -> str:
    """`text` with regular characters and line ends, without control characters; idempotent.

    Raises:
        NymphError: a lone surrogate, where they are to be refused.
    """
    chosen = options or NormalisationOptions()
    found = _SURROGATE.search(text)
    if found and chosen.surrogates == "refuse":
        raise NymphError(f"text holds a lone surrogate at character {found.start()}; repair the file it comes from")
    clean = _CONTROL.sub("", _LINE_END.sub("\n", _SURROGATE.sub("\ufffd", text)))
    return clean if chosen.form == "none" else unicodedata.normalize(chosen.form, clean)
