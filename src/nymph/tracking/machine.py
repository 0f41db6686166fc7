"""Use of this machine's processor, memory, disk, network and GPUs, under the names MLflow's own page groups.

Sampled by the follower into a log of its own, so that samples taken while a server is away are replayed too.
"""

from pathlib import Path
from typing import Any

import psutil


def sample(disk: Path) -> dict[str, float]:
    """The fields of one `system` event: percentages 0-100, sizes in megabytes; `disk` is any path on the disk meant."""
    memory, usage, network = psutil.virtual_memory(), psutil.disk_usage(str(disk)), psutil.net_io_counters()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system_memory_usage_percentage": memory.percent,
        "disk_usage_percentage": usage.percent,
        "disk_available_megabytes": round(usage.free / 1e6, 1),
        "network_receive_megabytes": round(network.bytes_recv / 1e6, 1),
        "network_transmit_megabytes": round(network.bytes_sent / 1e6, 1),
        **_gpus(),
    }


def _gpus() -> dict[str, float]:
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return {name: value for i, handle in enumerate(handles) for name, value in _gpu(i, handle).items()}
    except pynvml.NVMLError:
        return {}


def _gpu(index: int, handle: Any) -> dict[str, float]:
    import pynvml

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        f"gpu_{index}_utilization_percentage": float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        f"gpu_{index}_memory_usage_megabytes": round(int(memory.used) / 1e6, 1),
        f"gpu_{index}_memory_usage_percentage": round(100 * int(memory.used) / int(memory.total), 1),
        f"gpu_{index}_temperature_celsius": float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
    }
