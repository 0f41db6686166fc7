"""Rows of a table on a Flight server, read ahead by one thread and continued at the exact row after any break.

The thread reads pieces of about 2 MiB into a bounded queue and asks again from the next row when the stream breaks,
stalls or ends early. What it costs is one hand-over between threads a piece. Rows are counted, never trusted: an end
of stream is the end only when every row has come.
"""

import contextlib
import queue
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.flight.connection import Address, Connection, call_options, connect
from nymph.flight.failures import WIRE_ERRORS, describe, passing, preparing, reason
from nymph.flight.tables import split
from nymph.flight.tickets import Ticket

_TICK = 0.1
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


@dataclass(frozen=True)
class RemoteTable:
    """What a server says about one of its tables."""

    schema: pa.Schema
    rows: int
    fingerprint: str


class RemoteSource:
    """A table at `grpc://host:port/table`, or `grpc+tls://`; NymphError after `patience` where it cannot be reached."""

    def __init__(self, location: str, options: Connection) -> None:
        self._address, self._options = Address.parse(location), options
        self._streams: list[_Stream] = []
        self.table = self._address.table
        remote = _ask_patiently(self._address, options)
        self.schema, self.rows, self.fingerprint = remote.schema, remote.rows, remote.fingerprint
        self._remote = remote

    def batches(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
        """See `RowSource`; NymphError after `patience` seconds without a row, or where the table is another one."""
        wanted = replace(ticket, table=self.table, fingerprint=self.fingerprint)
        stream = _Stream(self._address, self._options, wanted, self._remote)
        self._streams = [each for each in self._streams if not each.closed] + [stream]
        return stream.batches()

    def close(self) -> None:
        """End every stream of this source."""
        for stream in self._streams:
            stream.close()
        self._streams = []


class _Patience:
    """Pauses between tries, doubling with jitter, until nothing has come for too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.progress()

    def progress(self) -> None:
        self._since, self._pause = time.monotonic(), _FIRST_PAUSE

    def pause(self, server: str, error: Exception) -> float:
        """Seconds to wait before the next try; NymphError where waiting is over."""
        if not passing(error):
            raise describe(server, error) from None
        if preparing(error):
            self._since = time.monotonic()
        if time.monotonic() - self._since >= self._seconds:
            raise NymphError(
                f"{server}: no answer for {self._seconds:g} s ({reason(error)}); start `kedro serve` there, "
                "or check the address and the network"
            ) from None
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return random.uniform(self._pause / 2, self._pause)


class _Stream:
    """One ticket on its way: a thread that fills a queue, and the generator that empties it."""

    def __init__(self, address: Address, options: Connection, ticket: Ticket, remote: RemoteTable) -> None:
        self._address, self._options, self._ticket, self._remote = address, options, ticket, remote
        self._first, self._count = ticket.share(remote.rows)
        self._schema = _projected(remote.schema, ticket)
        self._queue: queue.Queue[pa.RecordBatch | Exception | None] = queue.Queue(options.prefetch)
        self._stop = threading.Event()
        self._reader: fl.FlightStreamReader | None = None
        self._waiting_since: float | None = None
        self._thread = threading.Thread(target=self._produce, name="flight-reader", daemon=True)

    @property
    def closed(self) -> bool:
        return self._stop.is_set()

    def batches(self) -> Iterator[pa.RecordBatch]:
        self._thread.start()
        try:
            while (item := self._next()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield from split(item, self._ticket.batch_rows or item.num_rows)
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
                if since is not None and time.monotonic() - since > self._options.stall:
                    self._cancel()
        return None

    def _cancel(self) -> None:
        reader = self._reader
        if reader is not None:
            reader.cancel()

    def _produce(self) -> None:
        try:
            self._fill()
            self._queue.put(None)
        except Exception as error:  # handed to the consumer, who raises it
            self._queue.put(error)

    def _fill(self) -> None:
        patience, done = _Patience(self._options.patience), 0
        again = False
        while done < self._count and not self.closed:
            error: Exception = fl.FlightUnavailableError("the stream ended early")
            try:
                for batch in self._read(done, again):
                    if self.closed:
                        return
                    if batch.num_rows:  # an empty batch is no progress
                        self._queue.put(batch)
                        done += batch.num_rows
                        patience.progress()
            except WIRE_ERRORS as caught:
                error = caught
            if done < self._count:
                self._stop.wait(patience.pause(self._address.server, error))
            again = True
        if done > self._count:
            raise NymphError(f"{self._address.server}: expected {self._count} rows, got {done}; update the server")

    def _read(self, done: int, again: bool) -> Iterator[pa.RecordBatch]:
        """The rows after the first `done`, from a connection of its own; a second try first asks what is served now."""
        ticket = replace(self._ticket, start=self._first + done * self._ticket.world)
        if again:
            self._same_table(_ask(self._address, self._options))
        with connect(self._address.server, self._options) as client:
            reader = client.do_get(fl.Ticket(ticket.encode()), call_options(self._options))
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
                raise NymphError(f"{self._address.server} sent a damaged batch: {reason(error)}") from None
            yield chunk.data

    def _same_table(self, now: RemoteTable) -> None:
        if now.fingerprint != self._remote.fingerprint:
            raise self._other_table(f"fingerprint {now.fingerprint}")

    def _other_table(self, got: str) -> NymphError:
        return NymphError(
            f"{self._address.server}: table {self._ticket.table!r} changed: expected fingerprint "
            f"{self._remote.fingerprint}, got {got}; serve the old files again, or start a new run on the new ones"
        )


def _ask_patiently(address: Address, options: Connection) -> RemoteTable:
    patience = _Patience(options.patience)
    while True:
        try:
            return _ask(address, options)
        except WIRE_ERRORS as error:
            time.sleep(patience.pause(address.server, error))


def _ask(address: Address, options: Connection) -> RemoteTable:
    descriptor = fl.FlightDescriptor.for_path(*address.table.split("/"))
    with connect(address.server, options) as client:
        info = client.get_flight_info(descriptor, call_options(options, options.stall))
    fingerprint = info.app_metadata.decode("ascii", "replace")
    if info.total_records < 0 or not fingerprint:
        raise NymphError(f"{address.server}: expected a Nymph server, got one that tells no rows or no fingerprint")
    return RemoteTable(info.schema, info.total_records, fingerprint)


def _projected(schema: pa.Schema, ticket: Ticket) -> pa.Schema:
    if ticket.columns is None:
        return schema
    unknown = [name for name in ticket.columns if name not in schema.names]
    if unknown:
        raise NymphError(f"table {ticket.table!r} has no column {unknown[0]!r}; it has {', '.join(schema.names)}")
    return pa.schema([schema.field(name) for name in ticket.columns], schema.metadata)
