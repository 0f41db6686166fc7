"""For all tests: the order in which files are handed to the workers."""

from collections import defaultdict
from pathlib import Path

import pytest

SECONDS = {"end_to_end": 20.0, "faults": 4.0, "slow": 4.0}
"""What a test with this mark takes, roughly."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: workers take whole files, and the last one should not leave a worker alone with minutes."""
    cost: defaultdict[Path, float] = defaultdict(float)
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        cost[item.path] += max((seconds for mark, seconds in SECONDS.items() if mark in marks), default=0.1)
    items.sort(key=lambda item: -cost[item.path])
