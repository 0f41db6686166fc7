"""A `tokenizer_config.json` in the style of the project's first tokenizer trainer, read as today's options.

    {"vocab_size": 32000, "min_frequency": 2,
     "special_tokens": {"sentiment": ["<happy>", "<sad>"], "punctuation": ["..."], "prosody": 5, "context": []}}

Labels may be written bare or as tokens of any bracket style. Control, role and context tokens are always there, so
naming them changes nothing.
"""

import re
from pathlib import Path
from typing import Any

from nymph.errors import NymphError, nearest
from nymph.files import read_json
from nymph.text.training import TokenizerOptions
from nymph.text.vocabulary import SpecialTokens

_SIZES = {"vocab_size": "vocabulary_size", "vocabulary_size": "vocabulary_size"}
_FREQUENCIES = {"min_frequency": "minimum_frequency", "minimum_frequency": "minimum_frequency"}
_GROUPS = {
    "sentiment": "sentiments",
    "sentiments": "sentiments",
    "emotion": "sentiments",
    "emotions": "sentiments",
    "languages": "languages",
    "punctuation": "punctuation",
    "prosody": "prosody_bins",
    "prosody_bins": "prosody_bins",
}
_ALWAYS = ("context", "control", "roles")


def read_seed_config(path: str | Path) -> TokenizerOptions:
    """The options in a `tokenizer_config.json`; NymphError names an unknown key, or what cannot be meant."""
    try:
        stored = read_json(path)
    except (OSError, ValueError) as error:
        raise NymphError(f"{path}: expected a tokenizer_config.json, got {error}") from error
    if not isinstance(stored, dict):
        raise NymphError(f"{path}: expected a JSON object, got {type(stored).__name__}")
    names = _SIZES | _FREQUENCIES
    known = (*names, "special_tokens")
    options: dict[str, Any] = {}
    for key, value in stored.items():
        if key not in known:
            raise NymphError(f"{path}: unknown key {key!r}{nearest(key, known)}")
        if key in names:
            options[names[key]] = _whole(value, f"{path}: {key}")
    return TokenizerOptions(**options, special_tokens=_special_tokens(stored.get("special_tokens", {}), str(path)))


def _special_tokens(groups: Any, where: str) -> SpecialTokens:
    if not isinstance(groups, dict):
        raise NymphError(f"{where}: expected special_tokens by group {sorted(_GROUPS)}, got {type(groups).__name__}")
    fields: dict[str, Any] = {}
    for group, value in groups.items():
        if group in _ALWAYS:
            continue
        if group not in _GROUPS:
            raise NymphError(f"{where}: unknown group {group!r} of special tokens{nearest(group, _GROUPS)}")
        field = _GROUPS[group]
        if field == "prosody_bins":
            fields[field] = _whole(value, f"{where}: {group}")
        else:
            fields[field] = tuple(_strings(value, f"{where}: {group}", bare=field != "punctuation"))
    return SpecialTokens(**fields)


def _strings(value: Any, where: str, bare: bool) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise NymphError(f"{where}: expected a list of strings, got {value!r}")
    return [re.sub(r"^[<|\[]+|[>|\]]+$", "", one) for one in value] if bare else value


def _whole(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise NymphError(f"{where}: expected a whole number, got {value!r}")
    return value
