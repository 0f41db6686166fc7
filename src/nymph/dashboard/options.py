"""`dashboard.yml`, and what it starts: the page, or a sender of this machine's runs to another machine's page.

Every `kedro run` reads the options, so the servers are imported only where they start.
"""

import os
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

PORT = 8787
TOKEN = "NYMPH_DASHBOARD_TOKEN"


class DashboardOptions(BaseModel):
    """`dashboard.yml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    serve: bool = False
    """`kedro run` serves the page itself while it lasts, in a process of its own."""
    send: str = ""
    """Address of another machine's dashboard (`http://box:8787`) to which `kedro run` sends its runs as they go."""
    host: str = "127.0.0.1"
    """Address to listen on; beyond this machine NYMPH_DASHBOARD_TOKEN must hold at least 16 characters."""
    port: int = Field(default=PORT, ge=0, le=65535)
    """First port to try; a taken one gives way to the next."""
    runs: Path = Path("data/08_reporting/runs")
    """Folder of runs, each with its event log, relative to the project."""
    rows: Path = Path("data/05_model_input/sequences/validation")
    """Validation rows: they tell which recording a sample is about."""
    recordings: Path = Path("data/02_intermediate/recordings.parquet")
    """Table of recordings."""
    raw: Path = Path("data/01_raw")
    """Folder of the recordings that samples can be heard from."""
    names: tuple[str, ...] = ()
    """Further host names by which browsers reach this machine."""


def serve_page(options: DashboardOptions, project: Path) -> None:
    """Serve the page of a project until interrupted; errors as for `nymph.dashboard.serve.serve`."""
    from nymph.dashboard.samples import Corpus
    from nymph.dashboard.serve import serve

    runs = project / options.runs
    runs.mkdir(parents=True, exist_ok=True)
    serve(
        runs,
        options.host,
        options.port,
        token=os.environ.get(TOKEN),
        names=options.names,
        project=project,
        corpus=Corpus(project / options.rows, project / options.recordings, project / options.raw),
    )


def send_runs(options: DashboardOptions, project: Path, until: threading.Event | None = None) -> None:
    """Send a project's runs until `until` is set and everything is there; NymphError where the token is refused."""
    from nymph.dashboard.send import Receiver, send

    send(project / options.runs, Receiver(options.send, os.environ.get(TOKEN, "")), until=until)
