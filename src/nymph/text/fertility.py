"""How well a vocabulary fits a corpus: bytes a token, tokens a word, and the same of GPT-2's and GPT-4's.

The peers' tables are downloads, so they are compared only where tiktoken finds them in `TIKTOKEN_CACHE_DIR`, which
`scripts/peer_vocabularies.py` fills; without it this report opens no connection and says that they are absent.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.text.normalisation import has_surrogate
from nymph.text.tokenizer import Tokenizer

PEERS = {"gpt2": "gpt2", "gpt4": "cl100k_base"}


def fertility(tokenizer: Tokenizer, texts: Iterable[str], limit: int = 100_000) -> dict[str, Any]:
    """Figures over the first `limit` texts, as plain values for a report.

    `byte_share` is the share of tokens that are single bytes outside ASCII: where a tokenizer of words would say
    "unknown", byte-level BPE spells. `used_share` is the share of the text tokens that occur at all.
    """
    peers = {name: count for name in PEERS if (count := _peer(name)) is not None}
    counted = np.zeros(tokenizer.size, np.int64)
    tokens: Counter[str] = Counter()
    size = words = 0
    for block in _blocks(islice(texts, limit)):
        counted += np.bincount(np.concatenate(tokenizer.encode_many(block)), minlength=tokenizer.size)
        size += sum(len(text.encode()) for text in block)
        words += sum(len(text.split()) for text in block)
        for name, count in peers.items():
            tokens[name] += sum(map(count, block))
    total = int(counted.sum())
    if not total:
        raise NymphError("no text to measure the tokenizer on; look at the quarantine for what was left out")
    used = np.flatnonzero(counted)
    first, stop = tokenizer.id_ranges["text"]
    return {
        "texts_bytes": size,
        "vocabulary": tokenizer.size,
        "bytes_per_token": round(size / total, 4),
        "tokens_per_word": round(total / max(words, 1), 4),
        "byte_share": round(sum(int(counted[i]) for i in used.tolist() if _is_spelling(tokenizer, i)) / total, 6),
        "used_share": round(int(((used >= first) & (used < stop)).sum()) / (stop - first), 4),
        "peers_bytes_per_token": {name: round(size / tokens[name], 4) if name in peers else None for name in PEERS},
        "longest": _longest(tokenizer, used),
    }


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts together, without those that no row will hold either."""
    readable = (text for text in texts if not has_surrogate(text))
    while block := list(islice(readable, 1000)):
        yield block


def _is_spelling(tokenizer: Tokenizer, index: int) -> bool:
    return bool(tokenizer.byte_lengths[index] == 1) and tokenizer.decode([index]) == "\ufffd"


def _longest(tokenizer: Tokenizer, used: NDArray[np.int64], count: int = 10) -> list[str]:
    """The longest tokens that occur: where a corpus repeats itself, it shows here."""
    longest = used[np.argsort(-tokenizer.byte_lengths[used], kind="stable")[:count]]
    return [tokenizer.decode([index]) for index in longest.tolist()]


def _peer(name: str) -> Callable[[str], int] | None:
    """A function that counts a peer's tokens, if its table is already on this machine."""
    if not os.environ.get("TIKTOKEN_CACHE_DIR"):
        return None
    try:
        import tiktoken

        encoding = tiktoken.get_encoding(PEERS[name])
    except Exception:  # not installed, not in the cache, or damaged: the peer is left out, the report says so
        return None
    return lambda text: len(encoding.encode_ordinary(text))
