import os
import signal

import pytest
import torch

from nymph.errors import NymphError
from nymph.training.apart import apart
from nymph.training.devices import memory_bytes, pick_device


def test_what_this_process_holds_is_not_counted_there() -> None:
    held = b"x" * (1 << 29)
    assert apart(1, memory_bytes, torch.device("cpu")) < memory_bytes(torch.device("cpu")) - len(held) // 4


def test_ranks_share_the_cores() -> None:
    assert apart(1000, torch.get_num_threads) == 1


def test_a_process_that_is_killed_has_run_out_of_memory() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        apart(1, signal.raise_signal, signal.SIGKILL)


def test_one_that_ends_without_an_answer_is_told_apart_from_that() -> None:
    with pytest.raises(NymphError, match="exit status 3"):
        apart(1, os._exit, 3)


def test_its_errors_are_those_of_the_caller() -> None:
    with pytest.raises(NymphError, match="device must be auto, cpu, cuda or cuda:N, got 'tpu'"):
        apart(1, pick_device, "tpu")
