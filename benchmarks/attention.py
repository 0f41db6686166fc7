"""Windowed attention on CPU (or a GPU) against torch's full causal SDPA, forward and backward, in one process.

    OMP_NUM_THREADS=1 python benchmarks/attention.py
    python benchmarks/attention.py --device cuda --dtype bfloat16

B=1, 4 heads of 64, float32, window 1,024. Useful FLOP count only pairs that causality and the window allow. Rounds are
interleaved, figures are medians of CPU seconds, so that a busy machine slows both sides alike. The last line is JSON.

All of it, memory growth too, runs with glibc keeping freed memory for the next step (`_KEPT`), as a CUDA allocator
does. By its default tensors above 32 MiB are new at each step, and at 262,144 positions, but not at 16,384, zeroing
their pages is part of the time: `--fresh` measures that.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from nymph.model.estimate import seen_positions
from nymph.model.kernels import _dense, attend
from nymph.model.packing import Layout

HEADS, WIDTH, WINDOW = 4, 64, 1024
_KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
"""For glibc, which reads it when a process starts."""
Run = Callable[[Tensor, Tensor, Tensor], Tensor]


def windowed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k, v, Layout.whole(1, q.shape[1]), WINDOW, WIDTH**-0.5)


def full_sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def banded_mask_sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What users of plain SDPA do today: a T x T mask."""
    distance = torch.arange(q.shape[1])[:, None] - torch.arange(q.shape[1])
    mask = (distance >= 0) & (distance < WINDOW)
    return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), mask).transpose(1, 2)


def inputs(length: int) -> list[Tensor]:
    """Heads on torch's default device, in its default precision."""
    return [torch.randn(1, length, HEADS, WIDTH, requires_grad=True) for _ in range(3)]


def clock() -> float:
    """CPU seconds, or wall seconds once the GPU has nothing left to do."""
    if torch.get_default_device().type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def seconds(run: Run, heads: list[Tensor]) -> float:
    """Seconds of one forward and backward pass."""
    gradient = torch.randn_like(heads[0])
    start = clock()
    torch.autograd.grad(run(*heads), heads, gradient)
    return clock() - start


def useful_gflop(length: int, window: int | None) -> float:
    """2 products forward and 5 backward, as FlashAttention counts: 3.5 times the forward's."""
    return 3.5 * 4 * HEADS * WIDTH * length * seen_positions(length, window) / 1e9


def max_error(length: int = 4096) -> float:
    """Largest difference to dense masked attention, output and gradients, with two packed documents."""
    torch.set_default_dtype(torch.float32)
    document = torch.ones(1, length, dtype=torch.long)
    document[:, length // 3 :] = 2
    heads, layout = inputs(length), Layout.of(document)
    gradient = torch.randn_like(heads[0])
    found = []
    for kernel in (attend, _dense):
        out = kernel(*heads, layout, WINDOW, WIDTH**-0.5)
        found.append([out, *torch.autograd.grad(out, heads, gradient)])
    return max(float((a - b).detach().abs().max()) for a, b in zip(*found, strict=True))


def memory_growth(length: int) -> float:
    """MiB by which a fresh process, or the GPU's memory, grows over one pass, its inputs and gradients included."""
    if torch.get_default_device().type != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        seconds(windowed, inputs(length))
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    command = [sys.executable, __file__, "--memory", str(length)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_memory(length: int) -> None:
    seconds(windowed, inputs(2048))
    before = peak_mib()
    seconds(windowed, inputs(length))
    print(peak_mib() - before)


def peak_mib() -> float:
    """This process's own peak; getrusage would inherit the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--memory", type=int, help="only print the memory growth at this length")
    parser.add_argument("--fresh", action="store_true", help="take memory from the system anew, glibc's default")
    options = parser.parse_args()
    if not (options.fresh or options.memory or os.environ.items() >= _KEPT.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | _KEPT)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if options.device != "cpu":  # even for the CPU it would slow every call
        torch.set_default_device(options.device)
    torch.set_default_dtype(getattr(torch, options.dtype))
    if options.memory:
        measure_memory(options.memory)
        return
    cases: dict[str, tuple[Run, int, int | None]] = {
        "full causal SDPA, 16,384": (full_sdpa, 16384, None),
        "windowed, 16,384": (windowed, 16384, WINDOW),
        "windowed, 65,536": (windowed, 65536, WINDOW),
        "windowed, 262,144": (windowed, 262144, WINDOW),
        "SDPA with band mask, 4,096": (banded_mask_sdpa, 4096, WINDOW),
        "windowed, 4,096": (windowed, 4096, WINDOW),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, (run, length, _window) in cases.items():
            times[name].append(seconds(run, inputs(length)))
    median = {name: statistics.median(values) for name, values in times.items()}
    rate = {name: useful_gflop(length, window) / median[name] for name, (_, length, window) in cases.items()}
    if options.device != "cpu":
        print(torch.cuda.get_device_name(options.device))
    print(f"{'case':30}{'seconds':>10}{'useful GFLOP/s':>17}")
    for name in cases:
        print(f"{name:30}{median[name]:10.3f}{rate[name]:17.1f}")
    figures = {
        "gflops_vs_full_sdpa": rate["windowed, 16,384"] / rate["full causal SDPA, 16,384"],
        "time_262144_vs_16384": median["windowed, 262,144"] / median["windowed, 16,384"],
        "max_error_vs_dense": max_error(),
        "rss_mib_262144": memory_growth(262144),
    }
    speed = median["SDPA with band mask, 4,096"] / median["windowed, 4,096"]
    print(f"windowed attention is {speed:.1f} times as fast as SDPA with a band mask at 4,096 positions")
    print(json.dumps({name: float(f"{value:.3g}") for name, value in figures.items()}))


if __name__ == "__main__":
    main()
