"""The model against transformers' GPT-2 and Llama of equal size: learning, training speed, decoding. One process, CPU.

    python benchmarks/model.py                    # tinyshakespeare from NYMPH_BENCH_DATA, else Python's docstrings
    python benchmarks/model.py --device cuda      # MFU, tokens per second at 256k; needs torch alone

GPT-2 stands for nanoGPT's model (the same architecture and initialisation; transformers' has biases, SDPA attention):
nanoGPT is not published as a package. Learning follows nanoGPT's published CPU setting at character level: 4 layers of
128, block 64, batch 12, 2,000 steps, AdamW 1e-3 to 1e-4, warm-up 100, betas 0.9 and 0.99, decay 0.1, clip 1.0. Both
models see the same batches. Steps are interleaved and counted in CPU seconds. The last line is JSON. Figures beyond
the named ones are in the table above it.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerator import measure
from inputs import text_of
from torch import Tensor, nn

from nymph.model.cache import Cache
from nymph.model.config import AttentionConfig, ModelConfig, WindowConfig
from nymph.model.cross_entropy import chunked_cross_entropy
from nymph.model.estimate import estimate
from nymph.model.generation import generate
from nymph.model.multimodal import MultimodalModel
from nymph.model.presets import preset
from nymph.model.sampling import SamplingConfig

_CHARACTERS = 1_200_000
"""Of a text to learn; all of tinyshakespeare."""
_GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
"""For glibc: tensors of 1 MiB and more go back to the system; otherwise holes in the heap count as memory held."""
Loss = Callable[[Any, Tensor], Tensor]


def nymph_loss(model: MultimodalModel, tokens: Tensor) -> Tensor:
    """Mean next-token loss over tokens [B, T + 1], of T positions like the reference's."""
    hidden, targets = model({"tokens": tokens[:, :-1]}), tokens[:, 1:].flatten()
    weight = torch.ones(len(targets))
    return chunked_cross_entropy(hidden.flatten(0, 1), model.head, targets, weight)[0] / len(targets)


def reference_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    logits = model(tokens[:, :-1], use_cache=False).logits
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


class Contender:
    """A model, its optimiser under nanoGPT's setting, and the CPU seconds it has used."""

    def __init__(self, name: str, model: nn.Module, loss: Loss, steps: int) -> None:
        self.name, self.model, self.loss, self.steps = name, model, loss, steps
        matrices = [p for p in model.parameters() if p.dim() >= 2]
        others = [p for p in model.parameters() if p.dim() < 2]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": 0.1},
            {"params": others, "weight_decay": 0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
        self.seconds: list[float] = []

    def step(self, tokens: Tensor) -> None:
        self.optimiser.param_groups[0]["lr"] = self.optimiser.param_groups[1]["lr"] = self._rate(len(self.seconds))
        start = time.process_time()
        self.loss(self.model, tokens).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.seconds.append(time.process_time() - start)

    @torch.no_grad()
    def evaluate(self, batches: Iterator[Tensor]) -> float:
        self.model.eval()
        mean = statistics.fmean(float(self.loss(self.model, tokens)) for tokens in batches)
        self.model.train()
        return mean

    def _rate(self, step: int) -> float:
        if step < 100:
            return 1e-3 * (step + 1) / 101
        return 1e-4 + 0.5 * (1 + math.cos(math.pi * min(1.0, (step - 100) / max(1, self.steps - 100)))) * 9e-4


def parameters(model: nn.Module, tokens: Tensor, loss: Loss) -> int:
    """Parameters that text uses: those that get a gradient from it."""
    loss(model, tokens).backward()
    count = sum(p.numel() for p in model.parameters() if p.grad is not None)
    model.zero_grad(set_to_none=True)
    return count


def gpt2(config: ModelConfig, heads: int) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(
        vocab_size=config.vocabulary_size, n_positions=config.context_length, n_embd=config.width,
        n_layer=config.layers, n_head=heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        attn_implementation="sdpa",
    ))  # fmt: skip


def random_batches(data: Tensor, count: int, seed: int) -> Iterator[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    for _ in range(count):
        starts = torch.randint(len(data) - 65, (12,), generator=draw)
        yield torch.stack([data[start : start + 65] for start in starts])


def learning(characters: str, steps: int) -> dict[str, float]:
    """Validation loss of both after the same batches, over the same 400 validation batches."""
    vocabulary = sorted(set(characters))
    numbers = {character: number for number, character in enumerate(vocabulary)}
    data = torch.tensor([numbers[character] for character in characters])
    train, validation = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]
    config = preset("tiny", vocabulary_size=len(vocabulary), context_length=64, window=WindowConfig(local=0))
    torch.manual_seed(1337)
    reference = Contender("gpt2", gpt2(config, 4), reference_loss, steps)
    torch.manual_seed(1337)
    mine = Contender("nymph", MultimodalModel(config), nymph_loss, steps)
    for tokens in random_batches(train, steps, 0):
        mine.step(tokens)
        reference.step(tokens)
    sample = next(random_batches(train, 1, 0))
    figures = {}
    for side in (mine, reference):
        loss = side.evaluate(random_batches(validation, 400, 1))
        size, seconds = parameters(side.model, sample, side.loss), sum(side.seconds)
        print(f"learning  {side.name:6} {size:12,} parameters  {loss:.4f} validation loss  {seconds:8.1f} CPU s")
        figures[f"{side.name}_loss"], figures[f"{side.name}_seconds"] = loss, seconds
    return figures


def training_speed(rounds: int) -> float:
    """Tokens per second of `small` at 2,048 positions over GPT-2's of equal size."""
    config = preset("small")
    sides = [
        Contender("nymph", MultimodalModel(config), nymph_loss, rounds),
        Contender("gpt2", gpt2(config, 12), reference_loss, rounds),
    ]
    tokens = torch.randint(config.vocabulary_size, (1, config.context_length + 1))
    for length in (128, *[config.context_length] * rounds):
        for side in sides:
            side.step(tokens[:, : length + 1])
    rates = {side.name: config.context_length / statistics.median(side.seconds[1:]) for side in sides}
    for side in sides:
        size = parameters(side.model, tokens[:, :65], side.loss)
        print(f"training  {side.name:6} {size:12,} parameters  {rates[side.name]:8.1f} tokens per CPU s")
    return rates["nymph"] / rates["gpt2"]


def decoding(rounds: int, context: int = 2048, new: int = 128) -> float:
    """Tokens per second after a prompt of `context`, over transformers' generate with an equal Llama."""
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = {"heads": 8, "key_value_heads": 2}
    config = ModelConfig(
        vocabulary_size=16384, width=512, layers=8, context_length=4096,
        attention=AttentionConfig(type="gqa", **heads), window=WindowConfig(local=0),
    )  # fmt: skip
    mine = MultimodalModel(config).eval()
    llama = LlamaForCausalLM(LlamaConfig(
        vocab_size=16384, hidden_size=512, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=2,
        intermediate_size=config.feed_forward_width, max_position_embeddings=4096, tie_word_embeddings=True,
    )).eval()  # fmt: skip
    latent = MultimodalModel(preset("debug", layers=8)).eval()
    prompt = torch.randint(16384, (1, context))
    greedy = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None}

    def ours(model: MultimodalModel, count: int) -> None:
        generate(model, prompt.tolist(), SamplingConfig(temperature=0, max_new_tokens=count))

    def theirs(count: int) -> None:
        llama.generate(prompt, max_new_tokens=count, min_new_tokens=count, **greedy)

    runs = {"nymph gqa": lambda n: ours(mine, n), "nymph mla": lambda n: ours(latent, n), "llama": theirs}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(_cpu(run, new + 1) - _cpu(run, 1))
    rates = {name: new / statistics.median(values) for name, values in times.items()}
    for name, rate in rates.items():
        print(f"decoding  {name:10} {rate:8.1f} tokens per CPU s at {context:,} positions")
    return rates["nymph gqa"] / rates["llama"]


def _cpu(run: Callable[[int], None], count: int) -> float:
    start = time.process_time()
    run(count)
    return time.process_time() - start


@torch.no_grad()
def cache_ratio(length: int = 600) -> float:
    """Bytes a filled cache holds over the formula's, for both forms of debug."""
    held, formula = 0, 0
    for form in ("mla", "gqa"):
        config = preset("debug", form)
        cache = Cache(config, length)
        MultimodalModel(config).eval()({"tokens": torch.zeros(1, length, dtype=torch.long)}, cache=cache)
        costs = estimate(config, length, itemsize=4)
        held += cache.bytes_held()
        formula += costs.cache_bytes_per_token * length + costs.window_cache_bytes
    return held / formula


def memory(options: argparse.Namespace) -> None:
    """Print the growth of a fresh process over checkpointed steps of a preset, and the memory model's figure."""
    name = options.preset or "tiny"
    same = [f"--threads={options.threads}", f"--precision={options.precision}", *["--offload"] * options.offload]
    for length in options.lengths:
        command = [sys.executable, __file__, "--step", str(length), "--preset", name, *same]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | _GIVEN_BACK)
        measured, seconds = map(float, done.stdout.split())
        model = estimate(preset(name), length, offload=options.offload).training_bytes / 2**20
        print(
            f"memory    {name} at {length:7,} positions {measured:8.0f} MiB, {model:8.0f} by the memory model, "
            f"{seconds:8.0f} CPU s",
            flush=True,
        )


def measure_step(options: argparse.Namespace) -> None:
    """Print MiB by which this process grows over a training step with AdamW's states and earlier gradients there, and
    the CPU seconds of the step."""
    torch.nn.functional.linear(torch.ones(64, 64, requires_grad=True), torch.ones(64, 64)).sum().backward()
    before = _peak_mib()
    model = MultimodalModel(preset(options.preset))
    model.checkpoint_blocks(offload=options.offload)
    loss = nymph_loss
    if options.precision == "bf16":
        loss = torch.autocast("cpu", dtype=torch.bfloat16)(nymph_loss)
    side = Contender("nymph", model, loss, 1)
    short, long = (torch.randint(4096, (1, positions + 1)) for positions in (128, options.step))
    side.step(short)
    side.loss(model, short).backward()
    side.step(long)
    print(_peak_mib() - before, side.seconds[-1])


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--text", type=Path, help="a text to learn [default: tinyshakespeare of NYMPH_BENCH_DATA, else docstrings]"
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["learning", "training", "decoding", "memory"])
    parser.add_argument("--device", default="cpu", help="cuda measures the training step on the GPU instead")
    parser.add_argument("--preset", help="the model whose memory is measured (tiny), or its speed on a GPU (medium)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[8192, 16384, 32768], help="for memory: positions")
    parser.add_argument("--step", type=int, help="only print memory growth and seconds of a step at this length")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="for memory")
    parser.add_argument("--offload", action="store_true", help="for memory: layers' inputs wait in a file")
    parser.add_argument("--threads", type=int, default=1, help="for memory")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    if options.step:
        measure_step(options)
        return
    if options.device != "cpu":
        print(json.dumps(measure(options.device, options.preset or "medium")))
        return
    figures: dict[str, float] = {}
    if options.only in (None, "memory"):
        memory(options)
    if options.only in (None, "decoding"):
        figures["decode_vs_transformers"] = decoding(options.rounds)
        figures["cache_bytes_vs_formula"] = cache_ratio()
    if options.only in (None, "training"):
        figures["tokens_per_s_vs_nanogpt"] = training_speed(options.rounds)
    if options.only in (None, "learning"):
        found = learning(text_of(options.text)[:_CHARACTERS], options.steps)
        figures |= {"nanogpt_loss": found["gpt2_loss"], "nymph_loss": found["nymph_loss"]}
        print(f"learning  {found['nymph_seconds'] / found['gpt2_seconds']:.3f} of GPT-2's time")
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


if __name__ == "__main__":
    main()
