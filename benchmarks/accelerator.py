"""Training on a GPU: the share of its peak that useful products reach, and tokens per second at 256k. Torch alone.

    python benchmarks/model.py --device cuda

One row a step, bfloat16 where the device has it, AdamW, gradient checkpointing at the long length alone. FLOPs are
those of the positions each layer truly looks at, without recomputation (`nymph.model.estimate`); the peak is the
vendor's for dense bfloat16 products, and a device that is not in the table gives no MFU rather than a guessed one.
"""

import statistics
import time

import torch

from nymph.model.config import ModelConfig, ObjectiveConfig
from nymph.model.estimate import estimate
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import compute
from nymph.model.presets import preset

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bfloat16 FLOP/s by a part of the device's name."""
TEXT_ONLY = ObjectiveConfig(next_audio=0, masked_modality=0, sentiment=0, speaker=0)
SHORT, LONG = 8192, 262_144


def peak(name: str) -> float | None:
    """The vendor's peak of a device, None where it is not known."""
    return next((flops for part, flops in PEAK.items() if part in name), None)


def step_seconds(config: ModelConfig, length: int, device: str, checkpointing: bool, rounds: int = 5) -> float:
    """Median seconds of a training step of one row, after two to warm up."""
    torch.manual_seed(0)
    model = MultimodalModel(config).to(device)
    model.checkpoint_blocks(checkpointing)
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    half = torch.cuda.get_device_capability() >= (8, 0)
    tokens = torch.randint(config.vocabulary_size, (1, length), device=device)
    times = []
    for _ in range(rounds + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=half):
            loss, count = compute(model, {"tokens": tokens}, TEXT_ONLY)["next_token"]
        (loss / count).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def measure(device: str, name: str) -> dict[str, float | str]:
    """Figures of the preset `name` on a CUDA device, printed as they come."""
    config, gpu = preset(name), torch.cuda.get_device_name(device)
    figures: dict[str, float | str] = {"device": gpu}
    rates = {}
    for length, checkpointing in ((SHORT, False), (LONG, True)):
        torch.cuda.reset_peak_memory_stats()
        rates[length] = length / step_seconds(config, length, device, checkpointing)
        held = torch.cuda.max_memory_allocated() / 2**30
        flops = estimate(config, length).flops_per_token * rates[length]
        share = f"{flops / peak(gpu):.3f} of peak" if peak(gpu) else "peak not known"
        print(f"{gpu}: {name} at {length:7,} positions {rates[length]:10,.0f} tokens/s, {share}, {held:.1f} GiB")
        if length == SHORT and peak(gpu):
            figures["mfu"] = flops / peak(gpu)
        figures[f"tokens_per_s_{length}"] = rates[length]
    return figures | {"tokens_per_s_262144_vs_8192": rates[LONG] / rates[SHORT]}
