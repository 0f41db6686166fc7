"""The same rows on another machine: entries that an environment binds to an Arrow Flight server."""

from typing import Any, NoReturn

from kedro.io.core import AbstractDataset, DatasetError


class FlightDataset(AbstractDataset[NoReturn, str]):
    """Loads as a `grpc://host:port/table` location for `open_source`; nothing is connected before that.

    Example:
        ```yaml
        sequences_train:
          type: nymph.datasets.flight.FlightDataset
          endpoint: ${oc.env:NYMPH_FLIGHT,'grpc://127.0.0.1:9090'}
          table: sequences/train
        ```
    """

    def __init__(self, *, endpoint: str, table: str, metadata: dict[str, Any] | None = None) -> None:
        self._location = f"{endpoint.rstrip('/')}/{table.strip('/')}"
        self.metadata = metadata

    def load(self) -> str:
        """The location."""
        return self._location

    def save(self, data: NoReturn) -> NoReturn:
        """Never: rows are prepared on the machine that serves them."""
        raise DatasetError(f"{self._location} is served by another machine; prepare rows there (kedro run --env ryzen)")

    def _describe(self) -> dict[str, Any]:
        return {"location": self._location}

    def _exists(self) -> bool:
        return True
