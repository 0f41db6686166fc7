"""Tables on a Flight server as a row source: read ahead, in several streams at once if asked, continued after breaks.

Several streams read consecutive stretches of the same order, each over a connection of its own, and are handed out one
after the other. That pays where one connection does not fill the network (distance, TLS on many cores); on loopback it
does not, so one is the default.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.flight.connection import Address, Clients, Connection
from nymph.flight.failures import WIRE_ERRORS
from nymph.flight.mixed import check_mixable
from nymph.flight.mixture import Mixture, mixed_fingerprint, mixed_name
from nymph.flight.pieces import batches_of, wire_rows
from nymph.flight.stream import Patience, RemoteTable, Stream
from nymph.flight.tickets import Ticket


class RemoteSource:
    """A table at `grpc://host:port/table`, or `grpc+tls://`; several of one server are mixed by `weights`.

    NymphError after `patience` where the server cannot be reached, or where tables of two servers are to be mixed.
    """

    def __init__(self, locations: Sequence[str], options: Connection, weights: Sequence[float] | None = None) -> None:
        addresses = [Address.parse(location) for location in locations]
        if len({address.server for address in addresses}) > 1:
            raise NymphError(
                f"tables of one server can be mixed, got {', '.join(locations)}; serve them from one place"
            )
        self._clients, self._options = Clients(addresses[0].server, options), options
        self._names = tuple(address.table for address in addresses)
        self._weights = None if weights is None and len(addresses) == 1 else tuple(weights or [1.0] * len(addresses))
        self._streams: list[Stream] = []
        self.table = self._names[0] if self._weights is None else mixed_name(self._names)
        self.schemas: list[pa.Schema] = []
        self._remote = self._ask_patiently()
        self.schema, self.rows, self.nbytes = self._remote.schema, self._remote.rows, self._remote.nbytes
        self.fingerprint = self._remote.fingerprint

    def batches(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
        """See `RowSource`; NymphError after `patience` seconds without a row, or where the table is another one."""
        names = self._names[0] if self._weights is None else self._names
        wanted = replace(ticket, table=names, weights=self._weights, fingerprint=self.fingerprint)
        return batches_of(self._pieces(wanted), wanted, self)

    def close(self) -> None:
        """End every stream of this source."""
        for stream in self._streams:
            stream.close()
        self._streams = []
        self._clients.close()

    def _pieces(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
        """The rows of stretch after stretch, as many of them on their way at once as there are streams."""
        running: deque[Stream] = deque()
        try:
            for stretch in self._stretches(ticket):
                if len(running) == self._options.streams:
                    yield from running.popleft().pieces()
                running.append(self._open(stretch))
            while running:
                yield from running.popleft().pieces()
        finally:
            for stream in running:
                stream.close()

    def _stretches(self, ticket: Ticket) -> Iterator[Ticket]:
        """The whole ticket for one stream, else stretches of as many pieces as one stream reads ahead."""
        stop = self.rows if ticket.stop is None else ticket.stop
        if self._options.streams == 1:
            yield ticket
            return
        step = ticket.world * wire_rows(ticket, self) * self._options.prefetch
        for start in range(ticket.start, stop, step):
            yield replace(ticket, start=start, stop=min(start + step, stop))

    def _open(self, ticket: Ticket) -> Stream:
        stream = Stream(self._clients, ticket, self._remote, self._ask, self._options.prefetch)
        self._streams = [each for each in self._streams if not each.closed] + [stream]
        return stream

    def _ask_patiently(self) -> RemoteTable:
        patience = Patience(self._options.patience)
        while True:
            try:
                return self._ask()
            except WIRE_ERRORS as error:
                time.sleep(patience.pause(self._clients.server, error))

    def _ask(self) -> RemoteTable:
        """What is served now under the names of this source."""
        with self._clients.borrow() as client:
            told = [self._told(client, name) for name in self._names]
        self.schemas = [table.schema for table in told]
        if self._weights is None:
            return told[0]
        check_mixable([(name, table.schema) for name, table in zip(self._names, told, strict=True)])
        mixture = Mixture(tuple(table.rows for table in told), self._weights)
        nbytes = mixture.nbytes([table.nbytes for table in told])
        fingerprint = mixed_fingerprint([table.fingerprint for table in told], self._weights)
        return RemoteTable(told[0].schema, mixture.rows, nbytes, fingerprint)

    def _told(self, client: fl.FlightClient, name: str) -> RemoteTable:
        descriptor = fl.FlightDescriptor.for_path(*name.split("/"))
        info = client.get_flight_info(descriptor, self._clients.call_options(self._options.stall))
        fingerprint = info.app_metadata.decode("ascii", "replace")
        if info.total_records < 0 or not fingerprint:
            raise NymphError(
                f"{self._clients.server}: expected a Nymph server, got one that tells no rows or no fingerprint"
            )
        return RemoteTable(info.schema, info.total_records, info.total_bytes, fingerprint)
