"""A model that is named now, so that its identity can go into keys, and loaded when it is first needed."""

import uuid
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nymph.errors import NymphError

T = TypeVar("T")

MOST_REVIVED = 4
"""Models that a worker process keeps; a run has three."""

_revived: "dict[str, Lazy[Any]]" = {}


class ModelError(NymphError):
    """A model cannot be loaded: nobody's item is at fault, so the run ends."""


class Lazy(Generic[T]):
    """Loads at most once in a process. `identity` is JSON-serialisable and says all that changes what the model gives.

    It travels to other processes without the model; each loads its own, once however often it is sent there.
    """

    def __init__(self, identity: Any, load: Callable[[], T], single: bool = False) -> None:
        """`single` says that a machine has room for one copy only, as a GPU has."""
        self.identity = identity
        self.single = single
        self._load = load
        self._loaded: list[T] = []
        self._token = uuid.uuid4().hex

    def get(self) -> T:
        """The model, loaded by the first call.

        Raises:
            ModelError: it cannot be had.
        """
        if not self._loaded:
            try:
                self._loaded.append(self._load())
            except NymphError as error:
                raise ModelError(str(error)) from error
        return self._loaded[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (self._token, self.identity, self._load, self.single)


def _revive(token: str, identity: Any, load: Callable[[], T], single: bool) -> Lazy[T]:
    """The one of this process; the oldest goes where there are too many."""
    if token not in _revived:
        while len(_revived) >= MOST_REVIVED:
            del _revived[next(iter(_revived))]
        _revived[token] = Lazy(identity, load, single)
    return _revived[token]
