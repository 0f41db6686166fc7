"""Declared work: a node says which items should exist; the dataset that saves them makes only what is missing.

An item is known by an id and a key, and the key stands for everything its output depends on: the input's own key,
the options, the model's name. So a rerun makes nothing, a changed option remakes only what depends on it, and a
kill loses at most the items that were in flight. The price is that a node's work happens inside `save`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that should exist."""

    id: str
    """What it is about: usually a recording's id. Safe as a file name."""
    key: str
    """Hash of everything the output depends on."""
    payload: Any = None
    """What its maker needs to make it."""
    source: str = ""
    """Where it comes from, for a person: a path under data/01_raw."""


@dataclass(frozen=True, slots=True)
class Made:
    """An item's output."""

    item: Item
    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """An item that could not be made; it goes to quarantine and the run goes on."""

    item: Item
    reason: str
    """Short and stable, for counting: `empty`, `not_audio`, `bad_json`."""
    message: str
    """What was expected and what came."""
    line: int | None = None
    """Line of a JSONL file, from 1."""
    lasting: bool = False
    """Whether the item's own content is at fault, so that under the same key it can only fail again."""


Outcome = Made | Failed


@dataclass
class Tally:
    """What became of a piece of work: made + reused + failed items, and failures inside items (lines of a file)."""

    items: int = 0
    made: int = 0
    reused: int = 0
    failed: int = 0
    failures: list[Failed] = field(default_factory=list)
    untouched: set[tuple[str, str]] = field(default_factory=set)
    """Id and key of the items that were there already: what was quarantined inside them before still is."""

    def fail(self, failure: Failed) -> None:
        """Count and keep one failure."""
        self.failed += 1
        self.failures.append(failure)

    def recall(self, earlier: Iterable[Failed]) -> None:
        """Count again what was quarantined before inside items that were not touched; each once."""
        known = {_identity(failure) for failure in self.failures}
        for failure in earlier:
            if (failure.item.id, failure.item.key) in self.untouched and _identity(failure) not in known:
                self.fail(failure)

    def spoil(self, item: Item, error: Exception) -> None:
        """An item counted as made failed after all, while its output was being written."""
        self.made -= 1
        self.fail(failure_of(item, error))


@dataclass(frozen=True)
class Work:
    """The items a stage wants, and how to make the ones that are missing."""

    stage: str
    items: Sequence[Item]
    make: Callable[[Sequence[Item]], Iterable[Outcome]]
    """Takes the missing items, yields an outcome for each, in any order."""
    tally: Tally = field(default_factory=Tally)
    """Filled by whoever carries the work out."""

    def outcomes(self, done: Callable[[Item], bool], failed: Mapping[str, Failed] = {}) -> Iterator[Outcome]:
        """Make what is not `done`, counting as it goes; failures are kept in the tally and yielded too.

        An item id that `failed` before under the same key, lastingly, fails again untried.
        """
        self.tally.items = len(self.items)
        missing = []
        for item in self.items:
            earlier = failed.get(item.id)
            if done(item):
                self.tally.reused += 1
                self.tally.untouched.add((item.id, item.key))
            elif earlier and earlier.lasting and earlier.item.key == item.key:
                self.tally.fail(replace(earlier, item=item))
            else:
                missing.append(item)
        for outcome in self.make(missing) if missing else ():
            if isinstance(outcome, Failed):
                self.tally.fail(outcome)
            else:
                self.tally.made += 1
            yield outcome


def _identity(failure: Failed) -> tuple[str, str, str, int | None, str]:
    return failure.item.id, failure.item.key, failure.item.source, failure.line, failure.reason


def failure_of(item: Item, error: Exception, line: int | None = None) -> Failed:
    """The quarantine entry for what went wrong with an item; errors may carry a short `reason`, and be `lasting`."""
    reason, lasting = getattr(error, "reason", type(error).__name__), getattr(error, "lasting", False)
    return Failed(item, str(reason), str(error), line, bool(lasting))


def whole(stage: str, key: str, make: Callable[[], Any]) -> Work:
    """Work whose single item is one whole artifact, such as a trained tokenizer."""
    return Work(stage, [Item("whole", key)], lambda items: (Made(item, make()) for item in items))
