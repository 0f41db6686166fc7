"""A model that is named now, so that its identity can go into keys, and loaded when it is first needed."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Loads at most once. `identity` is JSON-serialisable and says everything that changes what the model gives."""

    def __init__(self, identity: Any, load: Callable[[], T]) -> None:
        self.identity = identity
        self._load = load
        self._loaded: list[T] = []

    def get(self) -> T:
        """The model, loaded by the first call."""
        if not self._loaded:
            self._loaded.append(self._load())
        return self._loaded[0]
