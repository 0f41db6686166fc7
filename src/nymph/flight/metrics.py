"""A server's counters as Prometheus text on an HTTP port of 127.0.0.1, standard library only."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nymph.errors import NymphError
from nymph.flight.stats import Stats

_KINDS = {"rows": "counter", "bytes": "counter", "batches": "counter", "streams": "gauge"}
_HELP = {
    "rows": "Rows handed to the wire.",
    "bytes": "Bytes of those rows.",
    "batches": "Batches of those rows: the queue of a stream is one.",
    "streams": "Streams open now.",
}


def prometheus_text(snapshot: dict[str, Any]) -> str:
    """The counters of `Stats.snapshot` in the Prometheus text format 0.0.4."""
    return "\n".join(_lines(snapshot)) + "\n"


class MetricsServer:
    """Answers GET /metrics until it is closed; NymphError where the port is taken. Port 0 takes a free one."""

    def __init__(self, stats: Stats, port: int = 9091, host: str = "127.0.0.1") -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(stats))
        except OSError as error:
            raise NymphError(f"cannot serve metrics on {host}:{port}: {error.strerror}; choose another port") from None
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="flight-metrics", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _handler(stats: Stats) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # a client that says nothing does not keep a thread

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            body = prometheus_text(stats.snapshot()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Scrapes are not news."""

    return Handler


def _lines(snapshot: dict[str, Any]) -> Iterator[str]:
    for name, kind in _KINDS.items():
        full = f"nymph_flight_{name}" + ("_total" if kind == "counter" else "")
        yield from (f"# HELP {full} {_HELP[name]}", f"# TYPE {full} {kind}", f"{full} {snapshot[name]}")
    yield "# HELP nymph_flight_calls_total Calls by method and outcome."
    yield "# TYPE nymph_flight_calls_total counter"
    for call in snapshot["calls"]:
        labels = f'method="{call["method"]}",outcome="{call["outcome"]}"'
        yield f"nymph_flight_calls_total{{{labels}}} {call['count']}"
    yield from _histogram(snapshot["latency"])


def _histogram(latency: dict[str, Any]) -> Iterator[str]:
    name, total = "nymph_flight_call_seconds", 0
    yield f"# HELP {name} Seconds until a call was answered."
    yield f"# TYPE {name} histogram"
    for bound, count in zip([*latency["bounds"], "+Inf"], latency["counts"], strict=True):
        total += count
        yield f'{name}_bucket{{le="{bound}"}} {total}'
    yield f"{name}_sum {latency['sum']}"
    yield f"{name}_count {total}"
