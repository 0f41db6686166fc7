"""Runs sent from another machine: nothing lost, nothing doubled, and what was asked comes back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from nymph.dashboard.receive import RECEIVED
from nymph.dashboard.send import Receiver, Sending
from nymph.errors import NymphError
from nymph.files import write_json
from nymph.training.control import CONTROL, Control, ask
from nymph.training.events import EVENTS, read_events

from .conftest import Connect, open_log, write_steps

KEY = "a-key-of-eighteen-"
HEADERS = {"authorization": f"Bearer {KEY}"}


class Wire(Receiver):
    """To a dashboard in this process; `cut` loses what is on its way before or after it arrives."""

    client: TestClient
    cut: str = ""

    def _open(self, method: str, path: str, body: bytes) -> bytes:
        if body and self.cut == "before":
            raise OSError("network is unreachable")
        answer = self.client.request(method, f"/api/received/{path}", content=body, headers=HEADERS)
        if body and self.cut == "after":
            raise OSError("connection reset")
        assert answer.status_code in (200, 204, 409), answer.text
        return answer.content


def wire_to(client: TestClient) -> Wire:
    wire = Wire("http://box:8787", KEY)
    object.__setattr__(wire, "client", client)
    return wire


@pytest.fixture
def there(connect: Connect) -> Iterator[TestClient]:
    with connect(key=KEY) as client:
        yield client


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Runs of another machine: one, five steps old."""
    with open_log(tmp_path / "here", "far") as log:
        log.write("start", run="far", step=0, total_steps=100)
        write_steps(log, 1, 5)
    return tmp_path / "here"


def received(runs: Path, name: str = "far@box") -> list[dict[str, Any]]:
    return list(read_events(runs / RECEIVED / name / EVENTS))


def test_a_run_of_another_machine_is_one_of_the_runs(there: TestClient, here: Path, runs: Path) -> None:
    Sending(here / "far", "box").advance(wire_to(there))
    assert received(runs) == list(read_events(here / "far" / EVENTS))
    while there.get("/health").json()["runs"] < 2:
        pass
    assert there.get("/api/runs/far@box/metrics.csv").status_code == 200


@pytest.mark.parametrize("cut", ["before", "after"])
def test_what_the_network_lost_comes_once(there: TestClient, here: Path, runs: Path, cut: str) -> None:
    sending, wire = Sending(here / "far", "box"), wire_to(there)
    object.__setattr__(wire, "cut", cut)
    with pytest.raises(OSError, match=r"network|reset"):
        sending.advance(wire)
    sending.again()
    object.__setattr__(wire, "cut", "")
    with open_log(here, "far") as log:
        write_steps(log, 6, 8)
    sending.advance(wire)
    assert [event["seq"] for event in received(runs)] == list(range(9))


def test_a_new_sender_and_a_new_receiver_go_on_where_they_were(connect: Connect, here: Path, runs: Path) -> None:
    for first in (6, 8):
        with connect(key=KEY) as there:
            Sending(here / "far", "box").advance(wire_to(there))
        with open_log(here, "far") as log:
            write_steps(log, first, first + 1)
    with connect(key=KEY) as there:
        Sending(here / "far", "box").advance(wire_to(there))
    assert [event["seq"] for event in received(runs)] == list(range(10))


def test_a_run_begun_anew_under_its_old_name_leaves_the_old_one_there(
    there: TestClient, here: Path, runs: Path
) -> None:
    Sending(here / "far", "box").advance(wire_to(there))
    (here / "far" / EVENTS).unlink()
    with open_log(here, "far") as log:
        log.write("start", run="far", step=0, total_steps=7)
    Sending(here / "far", "box").advance(wire_to(there))
    assert [event["total_steps"] for event in received(runs)] == [7]
    assert len(received(runs, "far@box.1")) == 6


def test_what_is_asked_there_is_heard_here_once(there: TestClient, here: Path, runs: Path) -> None:
    control, sending, wire = Control(here / "far"), Sending(here / "far", "box"), wire_to(there)
    ask(runs / RECEIVED / "far@box", "stop")  # before anybody listened
    sending.advance(wire)
    ask(runs / RECEIVED / "far@box", "checkpoint")
    sending.advance(wire)
    sending.advance(wire)
    assert control.asked() == ["checkpoint"]


def test_a_sample_is_there_before_the_line_that_names_it(there: TestClient, here: Path, runs: Path) -> None:
    name = "samples/00000005-0.json"
    (here / "far" / "samples").mkdir()
    write_json(here / "far" / name, {"step": 5, "prompt": [1], "generated": [2], "expected": [3]})
    with open_log(here, "far") as log:
        log.write("sample", step=5, file=name)
    Sending(here / "far", "box").advance(wire_to(there))
    assert (runs / RECEIVED / "far@box" / name).is_file()


@pytest.mark.parametrize(
    "path", ["far@box/../../first/events.jsonl", "far@box/events.jsonl", "far@box/samples/x.json", "..%2f@box/samples"]
)
def test_only_expected_files_are_taken(there: TestClient, runs: Path, path: str) -> None:
    before = sorted(runs.rglob("*"))
    assert there.put(f"/api/received/{path}", content=b"{}", headers=HEADERS).status_code >= 400
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize("body", [b"x\n", b'{"seq":0}\n', b'{"seq":0,"kind":"step"}', b'{"seq":-3,"kind":"s"}\n'])
def test_what_is_no_log_is_refused(there: TestClient, runs: Path, body: bytes) -> None:
    query = "began=1&after=-1&heard=-1"
    assert there.post(f"/api/received/far@box?{query}", content=body, headers=HEADERS).status_code == 400
    assert received(runs) == []


def test_sending_needs_an_address_and_a_token() -> None:
    with pytest.raises(NymphError, match="http://box"):
        Receiver("box:8787", KEY)
    with pytest.raises(NymphError, match="NYMPH_DASHBOARD_TOKEN"):
        Receiver("http://box:8787", "")


def test_nobody_sends_without_the_key(there: TestClient, runs: Path) -> None:
    assert there.post("/api/received/far@box?began=1&after=-1&heard=-1").status_code in (401, 403)
    assert not (runs / RECEIVED / "far@box" / CONTROL).exists()
