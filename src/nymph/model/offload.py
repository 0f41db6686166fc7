"""Where activations wait between the forward and the backward pass: a GPU's in host memory, a CPU's in a file.

The file has no name, so nothing is left of it however the process ends. It lies in TMPDIR, else in /var/tmp, which
unlike /tmp is on a disk everywhere. What is written goes through the system's page cache: with memory to spare it is
read back from there, and under pressure the system writes it out. It trades disk space for memory, tensor by tensor.
"""

import os
import tempfile
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks

from nymph.errors import NymphError

_SMALLEST = 1 << 20
"""Bytes of a tensor below which it stays where it is."""


def offloaded(device: torch.device) -> AbstractContextManager[object]:
    """Context in which what autograd saves of tensors on `device` waits elsewhere.

    Raises:
        NymphError: In the forward pass, where the disk is full.
    """
    if device.type == "cuda":
        return save_on_cpu(pin_memory=True)
    file = _File()
    return saved_tensors_hooks(file.write, _read)


class _Written(NamedTuple):
    """A tensor in a file; the last of them to go closes it."""

    file: "_File"
    offset: int
    shape: torch.Size
    dtype: torch.dtype


class _File:
    """Tensors of one forward pass, one behind the other."""

    def __init__(self) -> None:
        place = os.environ.get("TMPDIR", "/var/tmp")
        self.file = tempfile.TemporaryFile(dir=place if os.path.isdir(place) else None, buffering=0)  # noqa: SIM115
        self._end = 0

    def write(self, tensor: Tensor) -> "Tensor | _Written":
        """The tensor itself where it is small or somewhere else, such as a parameter."""
        if tensor.nbytes < _SMALLEST or tensor.device.type != "cpu" or isinstance(tensor, torch.nn.Parameter):
            return tensor
        written = _Written(self, self._end, tensor.shape, tensor.dtype)
        view, offset = _bytes(tensor.detach().contiguous()), self._end
        while view:
            count = self._put(view, offset)
            view, offset = view[count:], offset + count
        self._end = offset
        return written

    def _put(self, view: memoryview, offset: int) -> int:
        try:
            return os.pwrite(self.file.fileno(), view, offset)
        except OSError as error:
            advice = "set TMPDIR to a disk with room for the activations, or offload_activations to false"
            raise NymphError(f"activations could not be written after {offset:,} bytes: {error}; {advice}") from error


def _read(saved: "Tensor | _Written") -> Tensor:
    if isinstance(saved, Tensor):
        return saved
    tensor = torch.empty(saved.shape, dtype=saved.dtype)
    view, offset = _bytes(tensor), saved.offset
    while view:
        count = os.preadv(saved.file.file.fileno(), [view], offset)
        view, offset = view[count:], offset + count
    return tensor


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.view(-1).view(torch.uint8).numpy().data
