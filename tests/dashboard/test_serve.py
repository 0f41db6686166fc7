"""Ports and addresses."""

from contextlib import closing
from pathlib import Path

import pytest

from nymph.dashboard.serve import listen, serve
from nymph.errors import NymphError

from .browser import Server
from .conftest import open_log, write_steps


def test_a_taken_port_gives_way_to_the_next() -> None:
    with closing(listen("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with closing(listen("127.0.0.1", port)) as second:
            assert second.getsockname()[1] > port


def test_no_free_port_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nymph.dashboard.serve._FURTHER_PORTS", 0)
    with closing(listen("127.0.0.1", 0)) as taken, pytest.raises(NymphError, match="no free port"):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("token", [None, "short"])
def test_an_exposed_address_needs_a_token(tmp_path: Path, token: str | None) -> None:
    with pytest.raises(NymphError, match="NYMPH_DASHBOARD_TOKEN"):
        serve(tmp_path, "0.0.0.0", token=token)


@pytest.mark.faults
def test_a_trainer_and_the_port_survive_a_killed_dashboard(runs: Path, project: Path) -> None:
    with closing(Server(runs, project)) as server, open_log(runs) as log:
        write_steps(log, 11, 12)
        server.stop()
        write_steps(log, 13, 14)
        server.start()  # says that it listens at the same address
