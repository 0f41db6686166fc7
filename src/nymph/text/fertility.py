"""How well a vocabulary fits a corpus: bytes a token, tokens a word, and the same of GPT-2's and GPT-4's.

The peers' tables are downloads, so they are compared only where tiktoken finds them in `TIKTOKEN_CACHE_DIR`; without
it this report opens no connection and says that they are absent.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from nymph.errors import NymphError
from nymph.text.tokenizer import Tokenizer

PEERS = {"gpt2": "gpt2", "gpt4": "cl100k_base"}


def fertility(tokenizer: Tokenizer, texts: Iterable[str], limit: int = 100_000) -> dict[str, Any]:
    """Figures over the first `limit` texts, as plain values for a report.

    `byte_share` is the share of tokens that are single bytes outside ASCII: where a tokenizer of words would say
    "unknown", byte-level BPE spells. `used_share` is the share of the vocabulary that occurs at all.
    """
    counted: Counter[int] = Counter()
    peers = {name: encode for name in PEERS if (encode := _peer(name)) is not None}
    tokens: Counter[str] = Counter()
    size = words = 0
    for text in islice(texts, limit):
        ids = tokenizer.encode(text)
        counted.update(ids)
        size += len(text.encode())
        words += len(text.split())
        tokens["nymph"] += len(ids)
        for name, encode in peers.items():
            tokens[name] += encode(text)
    if not tokens["nymph"]:
        raise NymphError("no text to measure the tokenizer on; look at the quarantine for what was left out")
    spelt = sum(count for index, count in counted.items() if _is_spelling(tokenizer, index))
    return {
        "texts_bytes": size,
        "vocabulary": tokenizer.size,
        "bytes_per_token": round(size / tokens["nymph"], 4),
        "tokens_per_word": round(tokens["nymph"] / max(words, 1), 4),
        "byte_share": round(spelt / tokens["nymph"], 6),
        "used_share": round(len(counted) / tokenizer.size, 4),
        "peers_bytes_per_token": {name: round(size / tokens[name], 4) if name in peers else None for name in PEERS},
        "longest": _longest(tokenizer, counted),
    }


def _is_spelling(tokenizer: Tokenizer, index: int) -> bool:
    return bool(tokenizer.byte_lengths[index] == 1) and tokenizer.decode([index]) == "\ufffd"


def _longest(tokenizer: Tokenizer, counted: Counter[int], count: int = 10) -> list[str]:
    """The longest tokens that occur: where a corpus repeats itself, it shows here."""
    ordered: Iterator[int] = iter(sorted(counted, key=lambda index: (-int(tokenizer.byte_lengths[index]), index)))
    return [tokenizer.decode([index]) for index in islice(ordered, count)]


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
