"""Helper threads that compute with one core and leave the training thread's arithmetic as it was.

`torch.set_num_threads` is a thread's own for OpenMP and everybody's for MKL: called by a helper at any moment, it would
change how the training thread's sums are split, and with that the last bit of a loss that must be the same each time.
"""

import threading
from collections.abc import Callable

import torch


def start_helper(target: Callable[[], None], name: str, daemon: bool = False) -> threading.Thread:
    """Start a thread with one intra-op thread; returns once it has begun and the caller's own setting is back."""
    mine, begun = torch.get_num_threads(), threading.Event()

    def run() -> None:
        torch.set_num_threads(1)
        begun.set()
        target()

    thread = threading.Thread(target=run, name=name, daemon=daemon)
    thread.start()
    begun.wait()
    torch.set_num_threads(mine)
    return thread
