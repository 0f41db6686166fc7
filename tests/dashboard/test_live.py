"""The WebSocket: what it tells, to whom, and what it takes."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from nymph.dashboard.feed import Feed
from nymph.dashboard.live import _Client, parse_watch

from .conftest import ORIGIN, Connect, open_log, write_steps


def next_points(live: WebSocketTestSession) -> list[dict[str, Any]]:
    """Of the next message that has any: others may tell of the runs alone."""
    while not (points := live.receive_json()["points"]):
        pass
    return list(points)


def test_who_connects_is_told_of_every_run(connect: Connect) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        hello = live.receive_json()
    assert hello["names"] == ["first"]
    assert (hello["runs"][0]["step"], hello["runs"][0]["total_steps"]) == (10, 100)
    assert hello["points"] == []


def test_who_watches_gets_the_history_and_then_what_comes(connect: Connect, runs: Path) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.send_json({"watch": {"first": None}})
        [history] = next_points(live)
        with open_log(runs) as log:
            write_steps(log, 11, 11)
        [news] = next_points(live)
    assert history["series"]["train/loss"][0] == list(range(1, 11))
    assert (news["reset"], news["series"]["train/loss"][0]) == (False, [11])


def test_after_a_restart_of_the_server_only_the_rest_is_sent(connect: Connect, runs: Path) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.send_json({"watch": {"first": None}})
        [points] = next_points(live)
    place = [points["generation"], points["seq"]]
    with open_log(runs) as log:
        write_steps(log, 11, 12)
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.send_json({"watch": {"first": place}})
        [points] = next_points(live)
    assert (points["reset"], points["series"]["train/loss"][0]) == (False, [11, 12])


def test_a_loss_that_is_not_a_number_is_null(connect: Connect, runs: Path) -> None:
    with open(runs / "first" / "events.jsonl", "a") as log:
        log.write('{"seq": 90, "time": NaN, "kind": "step", "step": 11, "loss": NaN, "gradient_norm": Infinity}\n')
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.send_json({"watch": {"first": None}})
        text = ""
        while '"train/loss":[[' not in text:
            text += live.receive_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_deleted_run_leaves_the_page(connect: Connect, runs: Path) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        assert live.receive_json()["names"] == ["first"]
        shutil.rmtree(runs / "first")
        while live.receive_json()["names"]:  # it may be seen with an empty log first
            pass


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


def listen_to_the_end(live: WebSocketTestSession) -> None:
    while True:
        live.receive_json()


@pytest.mark.parametrize("text", NOT_WISHES)
def test_there_is_nothing_else_to_say(connect: Connect, text: str) -> None:
    with connect() as client, client.websocket_connect("/live", headers=ORIGIN) as live:
        live.send_text(text)
        with pytest.raises(WebSocketDisconnect) as goodbye:
            listen_to_the_end(live)
    assert goodbye.value.code == 1008


class SlowSocket:
    """Watches the run, and takes its first message only when `free` is set."""

    def __init__(self, *, slow: bool) -> None:
        self.sent: list[dict[str, Any]] = []
        self.free = asyncio.Event()
        if not slow:
            self.free.set()
        self._wishes = ['{"watch": {"first": null}}']

    async def receive_text(self) -> str:
        return self._wishes.pop() if self._wishes else await asyncio.Future()

    async def send_text(self, text: str) -> None:
        await self.free.wait()
        self.sent.append(json.loads(text))

    @property
    def step(self) -> int:
        return self.sent[-1]["runs"][0]["step"] if self.sent else 0


def test_a_client_that_is_slow_gets_one_message_for_many_and_holds_up_nobody(runs: Path) -> None:
    async def watch(slow: SlowSocket, quick: SlowSocket) -> None:
        feed = Feed(runs)
        await feed.look()
        with feed.subscribed() as news, feed.subscribed() as more:
            clients = [_Client(socket, feed, event, 600) for socket, event in ((slow, news), (quick, more))]
            tasks = [asyncio.create_task(client.run()) for client in clients]
            for step in range(11, 31):
                with open_log(runs) as log:
                    write_steps(log, step, step)
                await feed.look()
                while quick.step < step:  # whatever the slow one is doing
                    await asyncio.sleep(0)
            slow.free.set()
            while slow.step < 30:
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()

    slow, quick = SlowSocket(slow=True), SlowSocket(slow=False)
    asyncio.run(watch(slow, quick))
    assert len(quick.sent) >= 20
    assert len(slow.sent) <= 3
    assert slow.sent[-1]["points"][0]["series"]["train/loss"][0][-1] == 30


def test_a_client_watches_a_few_runs_at_most() -> None:
    assert len(parse_watch(json.dumps({"watch": {str(i): None for i in range(100)}}))) == 16
