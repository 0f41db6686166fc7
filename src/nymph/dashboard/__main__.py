"""`python -m nymph.dashboard RUNS_DIRECTORY` serves a folder of runs; `... install` fetches Chart.js from npm."""

import argparse
import os
import sys
from pathlib import Path

from nymph.dashboard.assets import install_assets
from nymph.dashboard.options import PORT, TOKEN
from nymph.dashboard.send import Receiver, send
from nymph.dashboard.serve import serve
from nymph.errors import NymphError


def main(arguments: list[str]) -> int:
    """Serve or install; 1 with one line on an expected failure."""
    parser = argparse.ArgumentParser(prog="python -m nymph.dashboard", description=__doc__)
    parser.add_argument("runs", help="folder of runs, or `install`")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--send", metavar="URL", help="serve nothing; send the runs to the dashboard at this address")
    options, token = parser.parse_args(arguments), os.environ.get(TOKEN)
    try:
        if options.runs == "install":
            print(f"Chart.js is at {install_assets()}")
        elif options.send:
            send(Path(options.runs), Receiver(options.send, token or ""))
        else:
            serve(Path(options.runs), options.host, options.port, token=token)
    except NymphError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
