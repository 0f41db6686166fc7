"""Prometheus text over HTTP."""

import urllib.error
import urllib.request

import pytest

from nymph.errors import NymphError
from nymph.flight.metrics import MetricsServer, prometheus_text
from nymph.flight.stats import Stats


def test_the_page_counts_what_happened() -> None:
    stats = Stats()
    stats.batch(5, 100)
    stats.call("do_get", "ok", 0.02)
    stats.call("do_get", "ok", 9.0)
    lines = prometheus_text(stats.snapshot()).splitlines()
    assert "nymph_flight_rows_total 5" in lines
    assert 'nymph_flight_calls_total{method="do_get",outcome="ok"} 2' in lines
    assert 'nymph_flight_call_seconds_bucket{le="0.05"} 1' in lines
    assert 'nymph_flight_call_seconds_bucket{le="+Inf"} 2' in lines


def test_the_page_is_served_at_metrics_only() -> None:
    server = MetricsServer(Stats(), port=0)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        assert b"nymph_flight_streams 0" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/")
    with pytest.raises(NymphError, match="choose another port"):
        MetricsServer(Stats(), port=server.port)
    server.close()
