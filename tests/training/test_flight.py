"""Training over Arrow Flight: the same rows in the same order as from the folder, and what happens without a server."""

from pathlib import Path
from typing import Any

import pytest

from nymph.errors import NymphError
from nymph.flight.server import FlightServer
from nymph.training import checkpoint
from nymph.training.console import Silence
from nymph.training.events import EVENTS, read_events
from nymph.training.job import Job
from nymph.training.loop import train

from .conftest import JobMaker


def losses(job: Job) -> list[float]:
    events = list(read_events(Path(job.run_directory) / EVENTS))
    return [event["loss"] for event in events if event["kind"] in ("step", "evaluation")]


def over_flight(job: Job, server: FlightServer) -> dict[str, str]:
    address = f"grpc://127.0.0.1:{server.port}/rows"
    return {"train_rows": f"{address}/train", "validation_rows": f"{address}/validation"}


def roots(job: Job) -> dict[str, Path]:
    return {"rows": Path(str(job.train_rows)).parent}


def test_the_same_seed_gives_the_same_losses_from_files_and_over_flight(make_job: JobMaker) -> None:
    local = make_job("local", steps=10)
    train(local)
    with FlightServer(roots(local), port=0) as server:
        remote = make_job("remote", steps=10, **over_flight(local, server))
        train(remote)
    assert losses(remote) == losses(local)


def test_a_run_begun_over_flight_continues_on_the_files(make_job: JobMaker) -> None:
    whole, moved = make_job("whole", steps=8), make_job("moved", steps=8)
    train(whole)
    with FlightServer(roots(whole), port=0) as server, pytest.raises(ValueError, match="unplugged"):
        train(make_job("moved", steps=8, **over_flight(whole, server)), At(4, ValueError("unplugged")))
    report = train(moved)
    assert report.resumed_from is not None
    assert losses(moved) == losses(whole)


def test_a_server_that_goes_for_good_leaves_a_checkpoint_and_its_address(make_job: JobMaker) -> None:
    local = make_job("local")
    with FlightServer(roots(local), port=0) as server:
        places = over_flight(local, server) | {"validation_rows": None}
        job = make_job("gone", steps=500, checkpoint_every=0, prefetch=1, connection={"patience": 0.5}, **places)
        with pytest.raises(NymphError, match=rf"127\.0\.0\.1:{server.port}"):
            train(job, At(2, server))
    assert checkpoint.list_checkpoints(Path(job.checkpoint_directory))
    end = list(read_events(Path(job.run_directory) / EVENTS))[-1]
    assert (end["kind"], end["status"]) == ("end", "failed")


class At(Silence):
    """At a step raises an error, or shuts a server down."""

    def __init__(self, step: int, what: Any) -> None:
        self.at, self.what = step, what

    def step(self, event: Any) -> None:
        if event["step"] == self.at:
            if isinstance(self.what, Exception):
                raise self.what
            self.what.shutdown()
