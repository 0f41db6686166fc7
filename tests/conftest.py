"""For all tests: one thread a process, nobody asked for models, the same examples everywhere, long files first.

What starts processes and kills them depends on the machine as well: such a test is tried a second time, and one that
needed it is listed as RERUN at the end.
"""

import os
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

from nymph.hooks.offline import be_offline_and_quiet

# Before anything imports numpy, torch or huggingface_hub, which read these once. Two workers share the cores, and sums
# over another number of threads are other sums.
_FOREIGN = ("NYMPH_", "KEDRO_", "MLFLOW_", "HF_HUB_", "HF_TOKEN")
for _name in [name for name in os.environ if name.startswith(_FOREIGN)]:
    del os.environ[_name]
os.environ["OMP_NUM_THREADS"] = "1"
be_offline_and_quiet()

settings.load_profile("ci")  # no deadlines, the same examples everywhere; `--hypothesis-profile=default` draws others

SECONDS = {"end_to_end": 20.0, "faults": 4.0, "slow": 4.0}
"""What a test with this mark takes, roughly."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: workers take whole files, and the last one should not leave a worker alone with minutes."""
    cost: defaultdict[Path, float] = defaultdict(float)
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if not marks.isdisjoint(SECONDS):
            item.add_marker(pytest.mark.flaky(reruns=1))
        cost[item.path] += max((seconds for mark, seconds in SECONDS.items() if mark in marks), default=0.1)
    items.sort(key=lambda item: -cost[item.path])
