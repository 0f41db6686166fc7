import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nymph.training.events import EventLog, EventReader, read_events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "events.jsonl"


def test_events_come_back_in_order_with_their_fields(path: Path) -> None:
    with EventLog(path) as log:
        log.write("step", step=1, loss=2.5, losses={"next_token": 2.5})
        log.write("end", status="finished")
    first, second = read_events(path)
    assert (first["seq"], first["kind"], first["losses"]) == (0, "step", {"next_token": 2.5})
    assert (second["seq"], second["status"]) == (1, "finished")


def test_the_sequence_continues_in_a_new_process(path: Path) -> None:
    for step in range(3):
        with EventLog(path) as log:
            log.write("step", step=step)
    assert [event["seq"] for event in read_events(path)] == [0, 1, 2]


def test_numbers_that_are_not_json_become_null(path: Path) -> None:
    with EventLog(path) as log:
        log.write("step", loss=math.nan, losses={"a": math.inf}, wait=[-math.inf, 1e308])
    text = path.read_text()
    assert json.loads(text, parse_constant=pytest.fail)["wait"] == [None, 1e308]


@pytest.mark.parametrize("torn", [b'{"seq": 2, "ki', b"\xff\xfe", b"{" * 200_000])
def test_a_torn_last_line_is_cut_off_before_writing_on(path: Path, torn: bytes) -> None:
    with EventLog(path) as log:
        log.write("step", step=0)
        log.write("step", step=1)
    with open(path, "ab") as file:
        file.write(torn)
    with EventLog(path) as log:
        log.write("step", step=2)
    assert [(event["seq"], event["step"]) for event in read_events(path)] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("torn", [b'{"seq": 0', b"\n\n"])
def test_a_log_without_one_whole_event_starts_anew(path: Path, torn: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(torn)
    with EventLog(path) as log:
        log.write("step", step=0)
    assert [event["seq"] for event in read_events(path)] == [0]


def test_a_last_event_longer_than_a_block_is_found(path: Path) -> None:
    with EventLog(path) as log:
        log.write("step", step=0)
        log.write("start", job="x" * 300_000)
    with EventLog(path) as log:
        assert log.write("step", step=1)["seq"] == 2


def test_an_unfinished_last_line_is_no_event_yet(path: Path) -> None:
    with EventLog(path) as log:
        log.write("step", step=0)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq": 1, "kind": "step"}')
    assert len(list(read_events(path))) == 1


def test_reading_after_a_sequence_number(path: Path) -> None:
    with EventLog(path) as log:
        for step in range(5):
            log.write("step", step=step)
    assert [event["step"] for event in read_events(path, after=2)] == [3, 4]


def test_a_follower_gets_each_event_once_though_lines_arrive_in_pieces(path: Path) -> None:
    reader = EventReader(path)
    assert reader.poll() == []
    path.parent.mkdir()
    line = b'{"seq":0,"kind":"step"}\n'
    got = []
    for byte in line + line.replace(b"0", b"1"):
        with open(path, "ab") as file:
            file.write(bytes([byte]))
        got += [event["seq"] for event in reader.poll()]
    assert got == [0, 1]


def test_a_follower_survives_the_log_being_replaced(path: Path) -> None:
    with EventLog(path) as log:
        log.write("step", step=0)
        log.write("step", step=1)
    reader = EventReader(path)
    reader.poll()
    path.write_bytes(b'{"seq":5,"kind":"step"}\n')
    assert [event["seq"] for event in reader.poll()] == [5]


def test_events_survive_the_death_of_their_writer(path: Path) -> None:
    code = f"""
import os, signal
from nymph.training.events import EventLog
log = EventLog({os.fspath(path)!r})
for step in range(10): log.write("step", step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert [event["step"] for event in read_events(path)] == list(range(10))


def test_the_log_needs_no_torch() -> None:
    code = "import sys, nymph.training.events; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
