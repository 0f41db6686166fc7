"""`python -m nymph.dashboard.beside serve|send PROJECT OPTIONS`: what `kedro run` starts beside itself.

A process of its own at low priority, so that no reader ever takes time from a step. Its standard input is a pipe from
the run and carries nothing: when the run ends, however it ends, the pipe closes, and the process with it.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from nymph.dashboard.options import DashboardOptions, send_runs, serve_page
from nymph.errors import NymphError


def main(mode: str, project: str, options: str) -> int:
    """Serve or send until standard input closes; 1 with one line where that cannot be."""
    os.nice(10)
    chosen, ended = DashboardOptions.model_validate_json(options), threading.Event()

    def wait_for_the_run() -> None:
        while os.read(0, 1):  # sys.stdin's lock would still be held when the interpreter ends
            pass
        ended.set()
        if mode == "serve":
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait_for_the_run, daemon=True).start()
    try:
        if mode == "serve":
            serve_page(chosen, Path(project))
        else:
            send_runs(chosen, Path(project), ended)
    except NymphError as error:
        print(f"dashboard: {error}; the run goes on without it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
