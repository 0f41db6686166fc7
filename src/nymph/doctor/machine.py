"""The machine itself: processor, memory, disk, versions, GPUs and whether torch was built for them."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nymph.doctor.check import Finding, Grade
from nymph.errors import NymphError

PACKAGES = (
    "kedro",
    "torch",
    "whisperx",
    "transformers",
    "tokenizers",
    "pyarrow",
    "polars",
    "librosa",
    "mlflow",
    "starlette",
)
GIB = 1024**3
LOW_DISK = 5 * GIB
LOW_MEMORY = 4 * GIB


def machine_findings(project: Path) -> Iterator[Finding]:
    """Processor, memory and disk."""
    import psutil

    cores = len(os.sched_getaffinity(0))
    yield Finding(
        "machine", "ok", f"{platform.system()} {platform.machine()}, {cores} cores, Python {sys.version.split()[0]}"
    )
    memory = psutil.virtual_memory()
    text = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    low = memory.available < LOW_MEMORY
    yield Finding("memory", "warning" if low else "ok", text, "transcription wants about 4 GiB" if low else "")
    free = shutil.disk_usage(project).free
    low = free < LOW_DISK
    yield Finding(
        "disk", "warning" if low else "ok", f"{free / GIB:.1f} GiB free at {project}", "make room" if low else ""
    )


def version_findings() -> Iterator[Finding]:
    """Versions of the packages that have to fit together."""
    found = {name: _version(name) for name in PACKAGES}
    missing = [name for name, number in found.items() if number is None]
    text = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    yield Finding("versions", "ok", text)
    if missing:
        yield Finding("versions", "failure", f"not installed: {', '.join(missing)}", "run `make setup`")


def gpu_findings(wanted: bool) -> Iterator[Finding]:
    """Every GPU with capability and free memory, and whether this torch has code for it."""
    import torch

    from nymph.training.devices import check_architecture

    built = torch._C._cuda_getArchFlags() if torch.version.cuda else None
    yield Finding(
        "torch", "ok", f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}, built for {built or 'CPU'}"
    )
    if not torch.cuda.is_available():
        grade: Grade = "failure" if wanted else "ok"
        yield Finding("GPU", grade, "torch sees none", "check nvidia-smi and the driver" if wanted else "")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        text = (
            f"{properties.name} sm_{properties.major}{properties.minor}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        )
        try:
            check_architecture((properties.major, properties.minor), torch.cuda.get_arch_list(), f"cuda:{index}")
            yield Finding(f"cuda:{index}", "ok", text)
        except NymphError as error:
            yield Finding(f"cuda:{index}", "failure", text, str(error))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
