"""A client that never reads is cut off, by the real server over a real socket (W2); what it costs: the benchmark."""

import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from nymph.training.events import EventLog

from .browser import Server
from .conftest import open_log
from .raw import TEXT, frame, open_live, read_until

pytestmark = pytest.mark.faults

IMPATIENT = "from nymph.dashboard import live; live.SEND_SECONDS = 0.5"
METRICS = 40
STEPS = 600
"""As many as make an update of about half a megabyte: more than the kernel holds for a connection."""


def write_much(log: EventLog, first: int) -> None:
    for step in range(first, first + STEPS):
        losses = {f"objective_{i}": step / 7 + i for i in range(METRICS)}
        log.write("step", step=step, loss=1.0, losses=losses)


def connected(process: psutil.Process) -> bool:
    return any(found.status == psutil.CONN_ESTABLISHED for found in process.net_connections())


def test_a_client_that_never_reads_is_cut_off_and_others_are_served(runs: Path, project: Path) -> None:
    with closing(Server(runs, project, IMPATIENT)) as server, open_log(runs) as log:
        process, step, deadline = psutil.Process(server.pid), 11, time.monotonic() + 120
        with open_live(server.address, receive_buffer=4096) as deaf:
            deaf.sendall(frame(TEXT, b'{"watch": {"first": null}}'))
            while connected(process):
                assert time.monotonic() < deadline, "the deaf client is still connected"
                write_much(log, step)
                step += STEPS
                time.sleep(0.5)
            with open_live(server.address) as other:
                read_until(other, b'"names":["first"]')
