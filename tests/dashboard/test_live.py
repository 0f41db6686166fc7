"""The WebSocket: what it tells, to whom, and what it takes."""

import json
import shutil
from pathlib import Path

import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from nymph.dashboard.live import parse_watch

from .conftest import ORIGIN, Connect, open_log, write_steps


def test_who_connects_is_told_of_every_run(connect: Connect) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        hello = live.receive_json()
    assert hello["names"] == ["first"]
    assert (hello["runs"][0]["step"], hello["runs"][0]["total_steps"]) == (10, 100)
    assert hello["points"] == []


def test_who_watches_gets_the_history_and_then_what_comes(connect: Connect, runs: Path) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.receive_json()
        live.send_json({"watch": {"first": None}})
        history = live.receive_json()["points"][0]
        with open_log(runs) as log:
            write_steps(log, 11, 11)
        news = live.receive_json()["points"][0]
    assert history["series"]["train/loss"][0] == list(range(1, 11))
    assert (news["reset"], news["series"]["train/loss"][0]) == (False, [11])


def test_after_a_restart_of_the_server_only_the_rest_is_sent(connect: Connect, runs: Path) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.send_json({"watch": {"first": None}})
        while not (points := live.receive_json()["points"]):
            pass
    place = [points[0]["generation"], points[0]["seq"]]
    with open_log(runs) as log:
        write_steps(log, 11, 12)
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.send_json({"watch": {"first": place}})
        while not (points := live.receive_json()["points"]):
            pass
    assert (points[0]["reset"], points[0]["series"]["train/loss"][0]) == (False, [11, 12])


def test_a_loss_that_is_not_a_number_is_null(connect: Connect, runs: Path) -> None:
    with open(runs / "first" / "events.jsonl", "a") as log:
        log.write('{"seq": 90, "time": NaN, "kind": "step", "step": 11, "loss": NaN, "gradient_norm": Infinity}\n')
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.send_json({"watch": {"first": None}})
        text = live.receive_text() + live.receive_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_deleted_run_leaves_the_page(connect: Connect, runs: Path) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        assert live.receive_json()["names"] == ["first"]
        shutil.rmtree(runs / "first")
        assert live.receive_json()["names"] == []


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1.evil", ""]
)
def test_other_pages_are_refused_before_they_are_told_anything(connect: Connect, origin: str) -> None:
    with connect() as client, pytest.raises(WebSocketDenialResponse) as refusal:
        client.websocket_connect("/live", headers=ORIGIN | {"origin": origin}).__enter__()
    assert refusal.value.status_code == 403


def test_a_rebound_host_name_is_refused(connect: Connect) -> None:
    headers = {"host": "evil.example:8787", "origin": "http://evil.example:8787"}
    with (
        connect() as client,
        pytest.raises(WebSocketDenialResponse),
        client.websocket_connect("/live", headers=headers),
    ):
        pass


def test_one_client_too_many_is_told_so(connect: Connect) -> None:
    with (
        connect(max_clients=1) as client,
        client.websocket_connect("/live", headers=ORIGIN),
        pytest.raises(WebSocketDenialResponse) as refusal,
    ):
        client.websocket_connect("/live", headers=ORIGIN).__enter__()
    assert refusal.value.status_code == 503


NOT_WISHES = ["", "stop", "[]", "{}", '{"stop": true}', '{"watch": [1]}', '{"watch": {"first": 3}}', "[" * 50_000]


@pytest.mark.parametrize("text", NOT_WISHES)
def test_there_is_nothing_else_to_say(connect: Connect, text: str) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.receive_json()
        live.send_text(text)
        with pytest.raises(WebSocketDisconnect) as goodbye:
            live.receive_json()
    assert goodbye.value.code == 1008


def test_a_client_watches_a_few_runs_at_most() -> None:
    assert len(parse_watch(json.dumps({"watch": {str(i): None for i in range(100)}}))) == 16
