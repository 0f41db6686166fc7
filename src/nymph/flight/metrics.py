"""A server's counters as Prometheus text on an HTTP port of 127.0.0.1, standard library only."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nymph.errors import NymphError

_PLAIN = {
    "rows": ("counter", "Rows handed to the wire."),
    "bytes": ("counter", "Bytes of those rows."),
    "batches": ("counter", "Batches of those rows."),
    "streams": ("gauge", "Streams open now."),
    "streams_ended": ("counter", "Streams that ended, whole or not."),
    "refused": ("counter", "Streams refused because all were taken."),
    "preparing": ("gauge", "Tables being cached, or waiting for it."),
    "upload_bytes": ("counter", "Bytes of uploads that were kept."),
}
_TIMES = {
    "call_seconds": "Seconds until a call was answered.",
    "make_seconds": "Seconds to make a batch.",
    "queue_seconds": "Seconds a batch stood in its stream's queue of one until the reader took it.",
}


def prometheus_text(snapshot: dict[str, Any]) -> str:
    """The numbers of `FlightServer.snapshot` in the Prometheus text format 0.0.4."""
    return "\n".join(_lines(snapshot)) + "\n"


class MetricsServer:
    """Answers GET /metrics until it is closed; NymphError where the port is taken. Port 0 takes a free one."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]], port: int = 9091, host: str = "127.0.0.1") -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(snapshot))
        except OSError as error:
            raise NymphError(f"cannot serve metrics on {host}:{port}: {error.strerror}; choose another port") from None
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="flight-metrics", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _handler(snapshot: Callable[[], dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # a client that says nothing does not keep a thread

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            body = prometheus_text(snapshot()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Scrapes are not news."""

    return Handler


def _lines(snapshot: dict[str, Any]) -> Iterator[str]:
    for name, (kind, meaning) in _PLAIN.items():
        full = f"nymph_flight_{name}" + ("_total" if kind == "counter" else "")
        yield from (f"# HELP {full} {meaning}", f"# TYPE {full} {kind}", f"{full} {snapshot[name]}")
    yield "# HELP nymph_flight_calls_total Calls by method and outcome."
    yield "# TYPE nymph_flight_calls_total counter"
    for call in snapshot["calls"]:
        labels = f'method="{call["method"]}",outcome="{call["outcome"]}"'
        yield f"nymph_flight_calls_total{{{labels}}} {call['count']}"
    for name, meaning in _TIMES.items():
        yield from _histogram(f"nymph_flight_{name}", meaning, snapshot[name])


def _histogram(name: str, meaning: str, times: dict[str, Any]) -> Iterator[str]:
    total = 0
    yield from (f"# HELP {name} {meaning}", f"# TYPE {name} histogram")
    for bound, count in zip([*times["bounds"], "+Inf"], times["counts"], strict=True):
        total += count
        yield f'{name}_bucket{{le="{bound}"}} {total}'
    yield from (f"{name}_sum {times['sum']}", f"{name}_count {total}")
