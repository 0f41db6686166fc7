"""Which row stands at which position of an epoch: a permutation that is computed, never stored.

A Feistel network over a grid of about sqrt(rows) by sqrt(rows) cells, walked again when it leaves the table, is a
bijection whatever its round function is. A billion rows cost no memory and about 50 ns a position. It mixes well
enough for training and is no cipher: who knows the seed knows the order. (Black and Rogaway, "Ciphers with arbitrary
finite domains", CT-RSA 2002.)
"""

import hashlib
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

MAX_ROWS = 2**60
_ROUNDS = 8
_HALF = np.uint64(32)
_MIX_1 = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class Order:
    """The order of `rows` rows in one epoch under one seed, the same on every machine.

    `shuffle=False` is file order. `block` rows stay together in file order: 1 is a shuffle of single rows, more is
    the cheap alternative where rows are read from a cold disk.
    """

    rows: int
    seed: int = 0
    epoch: int = 0
    shuffle: bool = True
    block: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rows <= MAX_ROWS or self.block < 1:
            raise ValueError(f"expected 0 <= rows <= 2**60 and block >= 1, got rows={self.rows!r} block={self.block!r}")

    def rows_at(self, positions: NDArray[np.integer]) -> Rows:
        """The rows at `positions` (any shape, 0 <= position < rows) as int64; IndexError outside."""
        wanted = np.asarray(positions)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.rows):
            raise IndexError(f"positions must lie in [0, {self.rows}), got {wanted.min()} to {wanted.max()}")
        wanted = wanted.astype(np.int64)
        if not self.shuffle or not wanted.size:
            return wanted
        return self._blocks(wanted) if self.block > 1 else _permute(wanted, self.rows, self._keys())

    def _blocks(self, positions: Rows) -> Rows:
        """Whole blocks permuted from a start that turns each epoch, so that the short tail is not always the same."""
        blocks = self.rows // self.block
        tail = positions >= blocks * self.block
        moved = positions.copy()
        if blocks:
            number, within = np.divmod(positions[~tail], self.block)
            moved[~tail] = _permute(number, blocks, self._keys()) * self.block + within
        return (moved + int(self._keys()[0]) % self.rows) % self.rows

    def _keys(self) -> NDArray[np.uint64]:
        text = f"nymph order 1 seed {self.seed} epoch {self.epoch}"
        return np.frombuffer(hashlib.sha512(text.encode()).digest(), dtype="<u8")


def share(start: int, stop: int, rank: int, world: int) -> tuple[int, int]:
    """The first position in [start, stop) with position % world == rank, and how many there are."""
    first = start + (rank - start) % world
    return first, max(0, -(-(stop - first) // world))


def _permute(positions: Rows, rows: int, keys: NDArray[np.uint64]) -> Rows:
    moved = _feistel(positions.astype(np.uint64), rows, keys)
    outside = np.flatnonzero(moved >= rows)
    while outside.size:
        moved[outside] = _feistel(moved[outside], rows, keys)
        outside = outside[moved[outside] >= rows]
    return moved.astype(np.int64)


def _feistel(values: NDArray[np.uint64], rows: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One pass over the smallest near-square grid that holds `rows`: each half moves by a hash of the other."""
    height = isqrt(max(rows - 1, 0)) + 1
    width = -(-rows // height)
    left, right = np.divmod(values, np.uint64(width))
    for number in range(_ROUNDS):
        if number % 2:
            _turn(right, left, width, keys[number])
        else:
            _turn(left, right, height, keys[number])
    return left * np.uint64(width) + right


def _turn(half: NDArray[np.uint64], other: NDArray[np.uint64], size: int, key: np.uint64) -> None:
    """half = (half + hash(other)) mod size, in place; the hash is scaled to [0, size) without a division."""
    mixed = (other ^ key) * _MIX_1
    mixed ^= mixed >> _HALF
    mixed *= _MIX_2
    mixed >>= _HALF
    mixed *= np.uint64(size)
    mixed >>= _HALF
    half += mixed
    np.minimum(half, half - np.uint64(size), out=half)  # below `size` the difference wraps round and is larger
