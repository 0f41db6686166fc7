"""A Flight server in a process of its own, to be killed, frozen and started again on the same port."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq

from tests.ports import held_port

SCRIPT = """
import json, sys
from pathlib import Path
from nymph.flight.server import FlightServer, Limits
roots, port, options, deadline = json.loads(sys.argv[1])
options["limits"] = Limits(**options.pop("limits", {}))
FlightServer({name: Path(path) for name, path in roots.items()}, port=port, **options).serve(deadline)
"""


def big_rows(folder: Path, rows: int, width: int = 4096) -> Path:
    """A shard of `rows` rows of 2 * width bytes, so that a stream cannot hide in buffers; `id` is the row."""
    folder.mkdir(parents=True)
    tokens = np.random.default_rng(0).integers(0, 60_000, rows * width).astype(np.uint16)
    table = pa.table({"id": np.arange(rows), "tokens": pa.FixedSizeListArray.from_arrays(pa.array(tokens), width)})
    pq.write_table(table, folder / "a.parquet", compression="none", use_dictionary=False, write_page_checksum=True)
    return folder


class ServerProcess:
    """Serves `roots`; start and stop it any number of times."""

    def __init__(self, roots: dict[str, Path], deadline: float = 5.0, **options: Any) -> None:
        self._held = ExitStack()
        self.port = self._held.enter_context(held_port())
        names = {name: str(path) for name, path in roots.items()}
        self._token = options.get("token", "none")
        self._arguments = json.dumps([names, self.port, options, deadline])

    def __enter__(self) -> "ServerProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._held.close()

    @property
    def address(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    @property
    def rss(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def start(self, wait: bool = True) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SCRIPT, self._arguments])
        while wait and not self.healthy():
            assert self.process.poll() is None, "the server ended while starting"
            time.sleep(0.05)

    def healthy(self) -> bool:
        headers = [(b"authorization", f"Bearer {self._token}".encode())]
        try:
            with fl.connect(self.address, generic_options=[("grpc.use_local_subchannel_pool", 1)]) as client:
                list(client.do_action(fl.Action("health", b""), fl.FlightCallOptions(timeout=5, headers=headers)))
        except fl.FlightError:
            return False
        return True

    def restart(self) -> None:
        """kill -9, and up again without waiting."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.start(wait=False)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
