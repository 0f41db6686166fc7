"""Commands reach a run's control file, and nothing without the key does."""

from pathlib import Path

import pytest

from nymph.training.control import CONTROL
from nymph.training.events import read_events

from .conftest import ADDRESS, Connect, open_log

KEY = "a-key-of-eighteen-"
FROM_HERE = {"origin": ADDRESS}
PROGRAM = {"authorization": f"Bearer {KEY}"}
STOP = "/api/runs/first/control"


def asked(runs: Path) -> list[str]:
    return [event["kind"] for event in read_events(runs / "first" / CONTROL)]


def test_the_page_of_who_has_the_key_may_ask(connect: Connect, runs: Path) -> None:
    with connect(key=KEY) as client:
        assert client.get("/api/session").json() == {"may_command": False}
        client.post("/login", data={"token": KEY}, headers=FROM_HERE)
        assert client.get("/api/session").json() == {"may_command": True}
        assert client.post(STOP, content="checkpoint", headers=FROM_HERE).status_code == 202
        assert client.post(STOP, content="stop", headers=FROM_HERE).status_code == 202
    assert asked(runs) == ["checkpoint", "stop"]


def test_a_program_with_the_key_may_ask(connect: Connect, runs: Path) -> None:
    with connect(key=KEY) as client:
        assert client.post(STOP, content="stop", headers=PROGRAM).status_code == 202
    assert asked(runs) == ["stop"]


@pytest.mark.parametrize("key", [None, KEY])
def test_without_the_key_nothing_is_asked_even_from_this_machine(connect: Connect, runs: Path, key: str | None) -> None:
    with connect(key=key) as client:
        assert client.get("/").status_code == 200
        for headers in (FROM_HERE, FROM_HERE | {"authorization": "Bearer wrong"}, {"authorization": "Bearer "}):
            assert client.post(STOP, content="stop", headers=headers).status_code in (401, 403)
    assert asked(runs) == []


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
def test_another_sites_page_cannot_ask_with_the_cookie(connect: Connect, runs: Path, origin: str) -> None:
    with connect(key=KEY) as client:
        client.post("/login", data={"token": KEY}, headers=FROM_HERE)
        assert client.post(STOP, content="stop", headers={"origin": origin}).status_code == 403
    assert asked(runs) == []


@pytest.mark.parametrize(("body", "status"), [("", 400), ("delete", 400), ("\x00\xff", 400), ("stop" * 1000, 413)])
def test_what_no_run_understands_is_refused(connect: Connect, runs: Path, body: str, status: int) -> None:
    with connect(key=KEY) as client:
        assert client.post(STOP, content=body.encode("latin-1"), headers=PROGRAM).status_code == status
    assert asked(runs) == []


def test_a_run_that_has_ended_is_not_asked(connect: Connect, runs: Path) -> None:
    with open_log(runs) as log:
        log.write("end", status="finished", step=10, reason="all steps")
    with connect(key=KEY) as client:
        assert client.post(STOP, content="stop", headers=PROGRAM).status_code == 409
        assert client.post("/api/runs/nobody/control", content="stop", headers=PROGRAM).status_code == 404
