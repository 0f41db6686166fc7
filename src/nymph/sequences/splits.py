"""Which split an utterance belongs to: by recording, by speaker, or, in a tiny corpus, by time.

A hash of the recording's id decides, so adding recordings moves none. Where the hash would leave a split without a
recording, the recordings are dealt out in the order of their hashes; with fewer recordings than splits, each
recording's utterances are cut into contiguous blocks. Both trade stability, and the last one independence, for a demo
that has all its splits.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nymph.errors import NymphError

SPLITS = ("train", "validation", "test")
Utterance = Mapping[str, Any]


@dataclass(frozen=True)
class SplitOptions:
    """How a corpus is split."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    train: float = 0.8
    """Share of the recordings."""
    validation: float = 0.1
    """Share of the recordings."""
    test: float = 0.1
    """Share of the recordings."""
    by: Literal["recording", "speaker"] = "recording"
    """`speaker` keeps all recordings of a person in one split; people are told apart by the table of speakers."""

    def __post_init__(self) -> None:
        if min(self.fractions) < 0 or self.train <= 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise NymphError(f"split fractions: expected train > 0 and a sum of 1, got {self.fractions}")

    @property
    def fractions(self) -> tuple[float, float, float]:
        """In the order of SPLITS."""
        return self.train, self.validation, self.test


def split_of(recording: str, options: SplitOptions) -> str:
    """The split of a recording (or of a group of them) by a stable hash of its id."""
    return _at(_share(recording), options)


@dataclass(frozen=True)
class SplitPlan:
    """Every recording's split, or where its blocks end; made by `plan_splits`."""

    rule: Literal["hash", "dealt", "time"]
    """Which of the three ways applies."""
    recordings: Mapping[str, str]
    """Split of each recording; empty under `time`."""
    blocks: Mapping[str, tuple[int, int]]
    """Under `time`: number of utterances before validation and before test."""

    def of(self, utterance: Utterance, position: int) -> str:
        """The split of an utterance that stands at `position` among its recording's utterances."""
        if self.rule != "time":
            return self.recordings[utterance["recording"]]
        validation, test = self.blocks[utterance["recording"]]
        return SPLITS[(position >= validation) + (position >= test)]

    def select(self, utterances: Iterable[Utterance], split: str) -> Iterable[Utterance]:
        """The utterances of one split, as a stream."""
        seen: dict[str, int] = {}
        for utterance in utterances:
            recording = utterance["recording"]
            position = seen.get(recording, 0)
            seen[recording] = position + 1
            if self.of(utterance, position) == split:
                yield utterance


def plan_splits(utterances: Iterable[Utterance], options: SplitOptions) -> SplitPlan:
    """Read a corpus once and decide. Memory grows with recordings, not with utterances."""
    sizes: dict[str, int] = {}
    groups = _Groups()
    for utterance in utterances:
        recording = utterance["recording"]
        sizes[recording] = sizes.get(recording, 0) + 1
        groups.join(("recording", recording), ("recording", recording))
        if options.by == "speaker" and utterance.get("speaker") is not None:
            groups.join(("recording", recording), ("speaker", utterance["speaker"]))
    if not sizes:
        raise NymphError("the corpus has no utterances to split; look at the quarantine for what was left out")
    keys = {recording: "|".join(groups.name(("recording", recording))) for recording in sizes}
    wanted = [split for split, share in zip(SPLITS, options.fractions, strict=True) if share > 0]
    return _plan(keys, sizes, wanted, options)


def _plan(keys: dict[str, str], sizes: dict[str, int], wanted: list[str], options: SplitOptions) -> SplitPlan:
    by_hash = {key: split_of(key, options) for key in set(keys.values())}
    if len(by_hash) < len(wanted):
        return SplitPlan("time", {}, {recording: _blocks(size, options) for recording, size in sizes.items()})
    if set(wanted) - set(by_hash.values()):
        by_hash = _deal(sorted(by_hash, key=lambda key: (_share(key), key)), wanted, options)
        return SplitPlan("dealt", {recording: by_hash[key] for recording, key in keys.items()}, {})
    return SplitPlan("hash", {recording: by_hash[key] for recording, key in keys.items()}, {})


def _deal(ordered: list[str], wanted: list[str], options: SplitOptions) -> dict[str, str]:
    """Contiguous blocks of the hash order by the fractions, at least one each."""
    cuts = _cuts(len(ordered), [share for share in options.fractions if share > 0])
    return {key: wanted[sum(position >= cut for cut in cuts)] for position, key in enumerate(ordered)}


def _blocks(size: int, options: SplitOptions) -> tuple[int, int]:
    """Utterances before validation and before test; all of them train where there are fewer than splits."""
    shares = [share for share in options.fractions if share > 0]
    if size < len(shares):
        return size, size
    cuts = _cuts(size, shares)
    if len(shares) == 3:
        return cuts[0], cuts[1]
    if len(shares) == 1:
        return size, size
    return (cuts[0], size) if options.validation > 0 else (cuts[0], cuts[0])


def _cuts(size: int, shares: list[float]) -> list[int]:
    """Where to cut `size` things by shares so that each part has at least one; the later, smaller parts first."""
    counts = [max(1, round(size * share)) for share in shares[1:]]
    while sum(counts) >= size:
        counts[counts.index(max(counts))] -= 1
    return [size - sum(counts[index:]) for index in range(len(counts))]


def _share(key: str) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") / 2**56


def _at(share: float, options: SplitOptions) -> str:
    return SPLITS[(share >= options.train) + (share >= options.train + options.validation and options.test > 0)]


class _Groups:
    """Union-find over recordings and speakers; a group's name is its least member."""

    def __init__(self) -> None:
        self._parent: dict[tuple[str, str], tuple[str, str]] = {}

    def name(self, member: tuple[str, str]) -> tuple[str, str]:
        root = self._parent.setdefault(member, member)
        while self._parent[root] != root:
            self._parent[root] = self._parent[self._parent[root]]
            root = self._parent[root]
        return root

    def join(self, a: tuple[str, str], b: tuple[str, str]) -> None:
        least, most = sorted((self.name(a), self.name(b)))
        self._parent[most] = least
