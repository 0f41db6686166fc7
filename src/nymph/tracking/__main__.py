"""`python -m nymph.tracking follow JOURNAL` (started by the hook), `... replay RUNS_DIRECTORY` (by hand)."""

import sys
from pathlib import Path

from nymph.tracking.follower import replay, run_quietly


def main(arguments: list[str]) -> int:
    """Follow one journal or replay all unfinished ones; 0 when MLflow has everything."""
    match arguments:
        case ["follow", folder]:
            return 0 if run_quietly(Path(folder)) else 1
        case ["replay", folder]:
            outcomes = replay(Path(folder))
            for name, done in outcomes.items():
                print(f"{name}: {'sent' if done else 'not yet'}")
            return 0 if all(outcomes.values()) else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
