"""Prometheus text over HTTP."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from nymph.errors import NymphError
from nymph.flight.logs import log_json
from nymph.flight.metrics import MetricsServer, prometheus_text
from nymph.flight.server import FlightServer
from nymph.flight.source import open_source
from nymph.flight.stats import Stats
from nymph.flight.tickets import Ticket

from .rows import shards


def test_the_page_counts_what_happened() -> None:
    stats = Stats()
    stats.made(5, 100, 0.003)
    stats.taken(0.3)
    stats.call("do_get", "ok", 0.02)
    stats.call("do_get", "ok", 9.0)
    lines = prometheus_text(stats.snapshot()).splitlines()
    assert "nymph_flight_rows_total 5" in lines
    assert 'nymph_flight_calls_total{method="do_get",outcome="ok"} 2' in lines
    assert 'nymph_flight_call_seconds_bucket{le="0.05"} 1' in lines
    assert 'nymph_flight_call_seconds_bucket{le="+Inf"} 2' in lines
    assert 'nymph_flight_make_seconds_bucket{le="0.005"} 1' in lines
    assert "nymph_flight_queue_seconds_sum 0.3" in lines


def test_the_page_is_served_at_metrics_only() -> None:
    server = MetricsServer(Stats().snapshot, port=0)
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with browser.open(f"http://127.0.0.1:{server.port}/metrics") as answer:
        assert b"nymph_flight_streams 0" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        browser.open(f"http://127.0.0.1:{server.port}/")
    with pytest.raises(NymphError, match="choose another port"):
        MetricsServer(Stats().snapshot, port=server.port)
    server.close()


def test_a_stream_is_one_structured_line_and_leaves_the_gauges(
    tmp_path: Path, serve: Callable[..., FlightServer], capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("nymph.flight")
    before = logger.handlers, logger.propagate, logger.level
    log_json()
    try:
        server = serve({"told": shards(tmp_path / "t", 20)})
        list(open_source(f"grpc://127.0.0.1:{server.port}/told", stall=60).batches(Ticket("any")))
        server.shutdown(5)  # the line is written after the last row has gone
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
    said = map(json.loads, capsys.readouterr().err.splitlines())
    [line] = [each for each in said if each.get("table") == "told"]  # streams of other tests may end meanwhile
    assert {name: line[name] for name in ("level", "rows", "outcome")} == {"level": "info", "rows": 20, "outcome": "ok"}
    assert {name: server.snapshot()[name] for name in ("streams", "streams_ended", "preparing", "rows")} == {
        "streams": 0,
        "streams_ended": 1,
        "preparing": 0,
        "rows": 20,
    }
