"""What every call of the server goes through: scope, size, one clean error, one count.

pyarrow sends a traceback with file names to the client for any exception that is not its own; here that never leaves
the machine. An unexpected error gets an id, by which its traceback is found in the server's log.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.flight.catalogue import Preparing
from nymph.flight.failures import BUSY, PREPARING, refusal
from nymph.flight.memory import return_freed_memory_soon

if TYPE_CHECKING:
    from nymph.flight.server import FlightServer

log = logging.getLogger(__name__)

P = ParamSpec("P")
Result = TypeVar("Result")
Item = TypeVar("Item")
Method = Callable[Concatenate["FlightServer", fl.ServerCallContext, P], Result]


def rpc(scope: str | None) -> Callable[[Method[P, Result]], Method[P, Result]]:
    """Guard a call that needs `scope`; None where the call itself says which."""

    def decorate(method: Method[P, Result]) -> Method[P, Result]:
        @wraps(method)
        def call(server: "FlightServer", context: fl.ServerCallContext, /, *args: P.args, **kwargs: P.kwargs) -> Result:
            begin, outcome = time.monotonic(), "error"
            try:
                if scope is not None:
                    server.require(context, scope)
                _check_size(server.limits.request_bytes, args)
                result = method(server, context, *args, **kwargs)
                outcome = "ok"
                return result
            except Exception as error:
                raise clean(server, error) from None
            finally:
                server.stats.call(method.__name__, outcome, time.monotonic() - begin)

        return call

    return decorate


def guarded(server: "FlightServer", items: Iterator[Item]) -> Iterator[Item]:
    """`items` with clean errors."""
    try:
        yield from items
    except Exception as error:
        raise clean(server, error) from None


def streamed(
    server: "FlightServer", batches: Iterator[pa.RecordBatch], table: str, peer: str
) -> Iterator[pa.RecordBatch]:
    """`batches` with clean errors; they take one of the server's slots, are counted, logged and ended on closing."""
    if not server.slots.acquire(blocking=False):
        server.stats.add("refused")
        raise fl.FlightUnavailableError(f"all {server.limits.streams} streams are taken", extra_info=BUSY)
    begin, told = time.monotonic(), {"table": table, "peer": peer, "outcome": "cut", "rows": 0, "bytes": 0}
    server.stats.add("streams")
    try:
        yield from guarded(server, _counted(server, batches, told))
        told["outcome"] = "ok"
    except fl.FlightError as error:
        told |= {"outcome": "error", "error": str(error)}
        raise
    finally:
        server.slots.release()
        server.stats.add("streams", -1)
        server.stats.add("streams_ended")
        told["seconds"] = round(time.monotonic() - begin, 3)
        log.info("stream of %s ended: %s", table, told["outcome"], extra={"fields": told})


def clean(server: "FlightServer", error: Exception) -> fl.FlightError:
    """The error a client may see."""
    if isinstance(error, fl.FlightError):
        return error
    if isinstance(error, Preparing):
        return fl.FlightUnavailableError(str(error), extra_info=PREPARING)
    if isinstance(error, NymphError):
        return refusal(server.hide(str(error)))
    if isinstance(error, UnicodeError):
        return refusal("expected UTF-8")
    number = uuid.uuid4().hex[:12]
    log.error("internal error %s", number, exc_info=error)
    return refusal(f"internal error {number}; the server's log tells more")


def _counted(
    server: "FlightServer", batches: Iterator[pa.RecordBatch], told: dict[str, Any]
) -> Iterator[pa.RecordBatch]:
    begin = time.monotonic()
    for batch in batches:
        if server.closing.is_set():
            raise fl.FlightUnavailableError("the server is closing", extra_info=BUSY)
        made = time.monotonic()
        server.stats.made(batch.num_rows, batch.nbytes, made - begin)
        told["rows"] += batch.num_rows
        told["bytes"] += batch.nbytes
        yield batch
        begin = time.monotonic()
        server.stats.taken(begin - made)


def _check_size(limit: int, arguments: tuple[Any, ...]) -> None:
    for argument in arguments:
        size = _size(argument)
        if size > limit:
            return_freed_memory_soon()
            raise NymphError(f"expected a request of at most {limit} bytes, got {size}")


def _size(argument: object) -> int:
    """Bytes that a stranger sent in this argument of a call."""
    if isinstance(argument, bytes):
        return len(argument)
    if isinstance(argument, fl.Ticket):
        return len(argument.ticket)
    if isinstance(argument, fl.Action):
        return len(argument.type) + (argument.body.size if argument.body is not None else 0)
    if isinstance(argument, fl.FlightDescriptor):
        return sum(len(part) for part in argument.path or []) + len(argument.command or b"")
    return 0
