"""Prosody in words a language model can read: pitch, energy and rate of an utterance as bin tokens.

Bins are quantiles of the corpus, so each holds equally many utterances; a value is its bin and no more.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nymph.text.tokenizer import Tokenizer
from nymph.text.vocabulary import PROSODY_DIMENSIONS, prosody_token

FIELDS = {"pitch": "f0_mean_hz", "energy": "energy_db", "rate": "rate_syllables_per_s"}
"""The field of an utterance's `prosody` that each dimension bins."""


def learn_edges(utterances: Iterable[Mapping[str, Any]], bins: int) -> dict[str, tuple[float, ...]]:
    """The bins - 1 inner quantile edges of each dimension; a dimension no utterance has is left out."""
    values: dict[str, list[float]] = {name: [] for name in PROSODY_DIMENSIONS}
    for utterance in utterances:
        for name, value in _values(utterance.get("prosody")).items():
            values[name].append(value)
    shares = np.arange(1, bins) / bins
    return {name: tuple(np.quantile(seen, shares).round(4).tolist()) for name, seen in values.items() if seen}


def prosody_ids(prosody: Mapping[str, Any] | None, tokenizer: Tokenizer) -> list[int]:
    """The bin tokens of an utterance's prosody; a value or edges that are absent give no token."""
    edges = tokenizer.extras.prosody_edges
    known = {name: value for name, value in _values(prosody).items() if name in edges}
    return [tokenizer.id(prosody_token(name, bisect_right(edges[name], value))) for name, value in known.items()]


def _values(prosody: Mapping[str, Any] | None) -> dict[str, float]:
    found = {name: (prosody or {}).get(FIELDS[name]) for name in PROSODY_DIMENSIONS}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}
