"""The two encoders behind the tokenizer, interchangeable id by id: tiktoken if installed, else `tokenizers`.

tiktoken is optional because it is a compiled wheel that nothing else in the project needs.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from tokenizers import Tokenizer as FastTokenizer

from nymph.text.training import PATTERN
from nymph.text.vocabulary import SpecialTokens

_SEPARATOR = "<|\ufdd0|>"
"""Stands between joined texts. U+FDD0 is a noncharacter, kept by Unicode for a program's own use like this one."""
_SEPARATOR_ID = 2**32 - 2
_BLOCK_CHARACTERS = 1 << 20


class Encoder(Protocol):
    """Text to uint32 ids; marks are atomic, control tokens are spelt as text."""

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Ids of one text; UnicodeEncodeError on lone surrogates."""

    def encode_many(self, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Ids of many texts end to end, and how many each text has; UnicodeEncodeError on lone surrogates."""


class TokenizersEncoder:
    """Encoding by the `tokenizers` library."""

    def __init__(self, backend: FastTokenizer) -> None:
        self._backend = backend

    def encode(self, text: str) -> NDArray[np.uint32]:
        """See Encoder."""
        text.encode()
        return np.array(self._backend.encode(text).ids, np.uint32)

    def encode_many(self, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """See Encoder."""
        "".join(texts).encode()
        return _end_to_end([np.array(one.ids, np.uint32) for one in self._backend.encode_batch(list(texts))])


class TiktokenEncoder:
    """Encoding by tiktoken with the same tokens; 6 to 8 times the speed of `tokenizers` on one thread."""

    def __init__(self, ranks: dict[bytes, int], marks: dict[str, int], slower: Encoder) -> None:
        """`slower` takes over the rare text that tiktoken's regular expressions give up on."""
        import tiktoken

        self._slower = slower
        special = {**marks, _SEPARATOR: _SEPARATOR_ID}
        self._encoding = tiktoken.Encoding("nymph", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)
        self._marks = frozenset(marks)
        self._atoms = frozenset(special)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """See Encoder."""
        text.encode()  # tiktoken would replace a lone surrogate silently
        try:
            return self._encoding.encode_to_numpy(text, allowed_special=self._marks, disallowed_special=())
        except ValueError:  # a megabyte of spaces overflows its backtracking stack
            return self._slower.encode(text)

    def encode_many(self, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """See Encoder. Texts go in blocks, joined by a separator: a call for each would cost as much as its work."""
        parts = [self._encode_block(block) for block in _blocks(texts)]
        return _concatenate([ids for ids, _ in parts], np.uint32), _concatenate([n for _, n in parts], np.int64)

    def _encode_block(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        joined = _SEPARATOR.join(texts)
        joined.encode()  # tiktoken would replace a lone surrogate silently
        if joined.count(_SEPARATOR) != len(texts) - 1:  # some text holds the separator itself
            return _end_to_end([self.encode(text) for text in texts])
        try:
            ids = self._encoding.encode_to_numpy(joined, allowed_special=self._atoms, disallowed_special=())
        except ValueError:
            return _end_to_end([self.encode(text) for text in texts])
        cuts = np.flatnonzero(ids == _SEPARATOR_ID)
        lengths = np.diff(np.concatenate([[-1], cuts, [len(ids)]])) - 1
        return np.delete(ids, cuts), lengths


def fastest_encoder(backend: FastTokenizer, specials: SpecialTokens, ranks: dict[bytes, int]) -> Encoder:
    """The fastest encoder this environment has."""
    if importlib.util.find_spec("tiktoken") is None:
        return TokenizersEncoder(backend)
    marks = {mark: backend.token_to_id(mark) for mark in specials.punctuation}
    return TiktokenEncoder(ranks, marks, TokenizersEncoder(backend))


def _blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= _BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _end_to_end(parts: list[NDArray[np.uint32]]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    return _concatenate(parts, np.uint32), np.fromiter(map(len, parts), np.int64, len(parts))


def _concatenate(parts: list[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
