"""Which documents a corpus gives, as asked for and as realised."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nymph.errors import NymphError, nearest
from nymph.sequences.document import Document
from nymph.sequences.tasks import TASKS, Task


@dataclass(frozen=True)
class MixOptions:
    """Which documents a corpus gives."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    tasks: Mapping[str, Task] = field(default_factory=lambda: dict(TASKS))
    """Tasks by name."""
    sources: Mapping[str, float] = field(default_factory=dict)
    """Factors on the tasks' weights by kind (`chat`) or by a pattern of the source path (`audio/*`); 1 if unnamed."""
    seed: int = 0
    """Chooses what fractional weights take."""
    untrusted_sentiment: bool = False
    """Learn sentiment that is unsure or disagrees with the voice, too (`sentiment.trusted` of utterances.jsonl)."""

    def __post_init__(self) -> None:
        """Raise NymphError for a task that is the misspelt name of another: a weight alone under a near name."""
        for name in self.tasks.keys() - TASKS.keys():
            if self.tasks[name] == Task(weight=self.tasks[name].weight) and (meant := nearest(name, TASKS)):
                raise NymphError(f"no task {name!r}{meant} A new task names its conditions or targets")


@dataclass
class MixCounts:
    """The realised mix: documents, positions and targets by (task, kind), and what was left out, by reason."""

    documents: Counter[tuple[str, str]] = field(default_factory=Counter)
    positions: Counter[tuple[str, str]] = field(default_factory=Counter)
    targets: Counter[tuple[str, str]] = field(default_factory=Counter)
    divided: Counter[str] = field(default_factory=Counter)
    """Utterances too long for a row, cut between words; nothing of them is lost."""
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        """Count a document."""
        key = (document.task, document.source)
        self.documents[key] += 1
        self.positions[key] += document.length
        self.targets[key] += document.targets

    def merge(self, other: "MixCounts") -> None:
        """Add what another process counted."""
        for name in ("documents", "positions", "targets", "divided", "skipped"):
            getattr(self, name).update(getattr(other, name))
