"""One ticket on its way: rows read ahead by a thread and continued at the exact row after any break.

The thread reads pieces of about 2 MiB into a bounded queue and asks again from the next row when the stream breaks,
stalls or ends early. What it costs is one hand-over between threads a piece. Rows are counted, never trusted: an end
of stream is the end only when every row has come.
"""

import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.flight.connection import Clients
from nymph.flight.failures import WIRE_ERRORS, advice, describe, passing, preparing, reason
from nymph.flight.pieces import project
from nymph.flight.tickets import Ticket

log = logging.getLogger(__name__)

_TICK = 0.1
_UNTOLD_SECONDS = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


@dataclass(frozen=True)
class RemoteTable:
    """What a server says about a table, or about several that are mixed."""

    schema: pa.Schema
    rows: int
    nbytes: int
    fingerprint: str


class Patience:
    """Pauses between tries, doubling with jitter, until nothing has come for too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.progress()

    def progress(self) -> None:
        self._since, self._pause, self._told = time.monotonic(), _FIRST_PAUSE, False

    def pause(self, server: str, error: Exception) -> float:
        """Seconds to wait before the next try; NymphError where waiting is over."""
        if not passing(error):
            raise describe(server, error) from None
        if preparing(error):
            self._since = time.monotonic()
        waited = time.monotonic() - self._since
        if waited >= self._seconds:
            raise NymphError(
                f"{server}: no answer for {self._seconds:g} s ({reason(error)}); {advice(error)}"
            ) from None
        if waited >= _UNTOLD_SECONDS and not self._told:
            self._told = True
            log.warning("%s does not answer (%s): trying again for %g s", server, reason(error), self._seconds)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return random.uniform(self._pause / 2, self._pause)


class Stream:
    """One ticket of the table `remote`: a thread that fills a queue, and the generator that empties it.

    `ask` tells what the table is now. NymphError for a column that does not exist.
    """

    def __init__(
        self, clients: Clients, ticket: Ticket, remote: RemoteTable, ask: Callable[[], RemoteTable], prefetch: int
    ) -> None:
        self._clients, self._ticket, self._remote, self._ask = clients, ticket, remote, ask
        self._first, self._count = ticket.share(remote.rows)
        self._schema = project(remote.schema, ticket.columns, ticket.label)
        self._queue: queue.Queue[pa.RecordBatch | Exception | None] = queue.Queue(prefetch)
        self._stop = threading.Event()
        self._reader: fl.FlightStreamReader | None = None
        self._waiting_since: float | None = None
        threading.Thread(target=self._produce, name="flight-reader", daemon=True).start()

    @property
    def closed(self) -> bool:
        return self._stop.is_set()

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """The rows as they came; NymphError after `patience` seconds without one, or for another table."""
        try:
            while (item := self._next()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.close()

    def close(self) -> None:
        """Stop the thread, wherever it waits."""
        self._stop.set()
        self._cancel()
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def _next(self) -> pa.RecordBatch | Exception | None:
        while not self.closed:
            try:
                return self._queue.get(timeout=_TICK)
            except queue.Empty:
                since = self._waiting_since
                if since is not None and time.monotonic() - since > self._clients.options.stall:
                    self._cancel()
        return None

    def _cancel(self) -> None:
        reader = self._reader
        if reader is not None:
            reader.cancel()

    def _produce(self) -> None:
        try:
            self._fill()
            self._put(None)
        except Exception as error:  # handed to the consumer, who raises it
            self._put(error)

    def _put(self, item: pa.RecordBatch | Exception | None) -> None:
        while not self.closed:
            try:
                self._queue.put(item, timeout=_TICK)
            except queue.Full:
                continue
            return

    def _fill(self) -> None:
        patience, done = Patience(self._clients.options.patience), 0
        again = False
        while done < self._count and not self.closed:
            error: Exception = fl.FlightUnavailableError("the stream ended early")
            try:
                for batch in self._read(done, again):
                    if self.closed:
                        return
                    done += batch.num_rows
                    self._within(done)
                    if batch.num_rows:  # an empty batch is no progress
                        self._put(batch)
                        patience.progress()
            except WIRE_ERRORS as caught:
                error = caught
            if done < self._count:
                self._stop.wait(patience.pause(self._clients.server, error))
            again = True

    def _within(self, done: int) -> None:
        if done > self._count:
            raise NymphError(f"{self._clients.server}: expected {self._count} rows, got {done}; update the server")

    def _read(self, done: int, again: bool) -> Iterator[pa.RecordBatch]:
        """The rows after the first `done`; a second try first asks what is served now."""
        ticket = replace(self._ticket, start=self._first + done * self._ticket.world)
        if again:
            self._same_table(self._ask())
        with self._clients.borrow() as client:
            reader = client.do_get(fl.Ticket(ticket.encode()), self._clients.call_options())
            self._reader = reader
            try:
                if not reader.schema.equals(self._schema):
                    raise self._other_table("another schema")
                yield from self._chunks(reader)
            finally:
                self._reader = self._waiting_since = None
                reader.cancel()

    def _chunks(self, reader: fl.FlightStreamReader) -> Iterator[pa.RecordBatch]:
        while True:
            self._waiting_since = time.monotonic()
            try:
                chunk = reader.read_chunk()
            except StopIteration:
                return
            self._waiting_since = None
            try:
                chunk.data.validate(full=True)  # offsets of a hostile or broken peer would otherwise end the process
            except pa.ArrowInvalid as error:
                raise NymphError(f"{self._clients.server} sent a damaged batch: {reason(error)}") from None
            yield chunk.data

    def _same_table(self, now: RemoteTable) -> None:
        if now.fingerprint != self._remote.fingerprint:
            raise self._other_table(f"fingerprint {now.fingerprint}")

    def _other_table(self, got: str) -> NymphError:
        return NymphError(
            f"{self._clients.server}: table {self._ticket.label!r} changed: expected fingerprint "
            f"{self._remote.fingerprint}, got {got}; serve the old files again, or start a new run on the new ones"
        )
