"""Which device a rank computes on; what cannot work is refused before step 0."""

import math
import re
import resource
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from nymph.errors import NymphError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(wanted: str, local_rank: int = 0) -> torch.device:
    """The device of a rank: `auto` is its own GPU where there is one.

    Raises:
        NymphError: The device does not exist, or this build of torch has no code for it.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return torch.device(wanted)
    if not re.fullmatch(r"cuda(:(0|[1-9]\d?))?", wanted):
        raise NymphError(f"device must be auto, cpu, cuda or cuda:N, got {wanted!r}")
    device = torch.device(wanted)
    if not torch.cuda.is_available():
        raise NymphError(f"device {wanted!r}: torch sees no GPU; check nvidia-smi, or set device to cpu")
    device = torch.device("cuda", local_rank if device.index is None else device.index)
    if device.index >= torch.cuda.device_count():
        raise NymphError(f"device {device} does not exist: there are {torch.cuda.device_count()} GPUs")
    check_architecture(torch.cuda.get_device_capability(device), torch.cuda.get_arch_list(), str(device))
    return device


def check_architecture(capability: tuple[int, int], built: list[str], name: str) -> None:
    """Refuse a GPU that this torch build has no code for (`built` as torch.cuda.get_arch_list() gives it)."""
    major, minor = capability
    exact = [divmod(int(arch[3:]), 10) for arch in built if arch.startswith("sm_") and arch[3:].isdigit()]
    compiled_later = [divmod(int(arch[8:]), 10) for arch in built if arch.startswith("compute_") and arch[8:].isdigit()]
    if any(m == major and n <= minor for m, n in exact) or any(known <= capability for known in compiled_later):
        return
    advice = "install the cu126 build of the same torch version, which keeps Pascal" if major < 7 else "update torch"
    raise NymphError(f"torch {torch.__version__} has no code for {name} (sm_{major}{minor}); {advice}")


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Context in which the forward pass computes in `precision`."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


def check_compile(device: torch.device) -> None:
    """Refuse compilation where torch's compiler has no backend; NymphError says so."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (7, 0):
        raise NymphError(f"{device} cannot run compiled models (Triton needs sm_70 or newer); set compile to false")


def free_bytes(device: torch.device) -> int:
    """Memory that nobody uses now: of the device, or of this machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def memory_bytes(device: torch.device) -> int:
    """Most memory used so far: of the device's allocator, or of the process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class MemoryGauge:
    """`memory_bytes` for who asks at each step: looked up once a second, since that costs more than it would tell."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._bytes, self._next = device, 0, -math.inf

    def read(self) -> int:
        """Most memory used up to a second ago, in bytes."""
        now = time.monotonic()
        if now >= self._next:
            self._bytes, self._next = memory_bytes(self._device), now + 1.0
        return self._bytes
