"""What a configuration costs: parameters as measured on the built model, FLOPs, cache bytes and training memory.

Parameters are counted on the real modules (on the meta device, so that no memory is taken). FLOPs are those of the
matrix products, forward and backward, counting the positions each layer truly looks at: the number MFU divides by.
The memory figure is a model of one process's training step, good to about a fifth; it is checked by the benchmark.
"""

from dataclasses import dataclass

import torch

from nymph.model.config import ModelConfig
from nymph.model.cross_entropy import LOGITS
from nymph.model.multimodal import MultimodalModel
from nymph.model.transformer import PIECE


@dataclass(frozen=True)
class Estimate:
    """The figures of one configuration at one sequence length."""

    parameters: int
    """All of them, embeddings included."""
    matrix_parameters: int
    """Those that multiply every position: no embedding table that is only looked up, no heads of other modalities."""
    flops_per_token: int
    """Forward and backward of the transformer and the next-token head, averaged over the sequence."""
    cache_bytes_per_token: int
    """What one more position costs in global layers while generating, in the given precision."""
    window_cache_bytes: int
    """What the rings of windowed layers hold, however long the sequence."""
    training_bytes: int
    """Weights, gradients and AdamW's two states in float32, and the activations of one row."""


def estimate(
    config: ModelConfig,
    length: int | None = None,
    itemsize: int = 2,
    checkpointing: bool = True,
    offload: bool = False,
) -> Estimate:
    """The costs of `config` at `length` positions (None: its context length), caches of `itemsize` bytes a number."""
    length = length or config.context_length
    with torch.device("meta"):
        model = MultimodalModel(config)
    parameters = sum(p.numel() for p in model.parameters())
    blocks = sum(p.numel() for p in model.transformer.blocks.parameters() if p.dim() > 1)
    matrices = blocks + config.vocabulary_size * config.width
    windows = [config.window_of(layer) for layer in range(config.layers)]
    slot = cache_width(config) * itemsize
    return Estimate(
        parameters=parameters,
        matrix_parameters=matrices,
        flops_per_token=6 * matrices + sum(_attention_flops(config, length, window) for window in windows),
        cache_bytes_per_token=slot * windows.count(None),
        window_cache_bytes=sum(slot * min(window, length) for window in windows if window is not None),
        training_bytes=16 * parameters + _activation_bytes(config, length, checkpointing, offload),
    )


def cache_width(config: ModelConfig) -> int:
    """Numbers a layer caches for a position: latent + rope for mla, keys and values otherwise."""
    attention = config.attention
    if attention.type == "mla":
        return (attention.latent or 0) + (attention.rope or 0)
    return 2 * (attention.key_value_heads or attention.heads) * config.head_width


def seen_positions(length: int, window: int | None) -> float:
    """Positions a query sees on average over a sequence, its own included."""
    window = min(window or length, length)
    return (window * (window + 1) / 2 + (length - window) * window) / length


def _attention_flops(config: ModelConfig, length: int, window: int | None) -> int:
    """Scores and weighted values of one position in one layer, forward (2 products) and backward (4)."""
    value = config.attention.value or config.head_width
    return round(6 * config.attention.heads * (config.head_width + value) * seen_positions(length, window))


def _activation_bytes(config: ModelConfig, length: int, checkpointing: bool, offload: bool) -> int:
    """float32 numbers alive at the worst moment of the backward pass.

    With checkpointing: the inputs of both halves of every block, what attention found in global ones, what surrounds
    the blocks, four buffers of a chunk of logits, and the inside of one half, the feed-forward's piece by piece.
    Offloaded inputs are not on the device. Without checkpointing: the inside of all.
    """
    value = config.attention.value or config.head_width
    attention = 2 * config.attention.heads * (3 * config.head_width + value) + cache_width(config) + 2 * config.width
    feed = 2 * config.width + 5 * config.feed_forward_width
    if not checkpointing:
        return 4 * length * (config.layers * (attention // 2 + feed) + 3 * config.width)
    wide = sum(config.window_of(layer) is None for layer in range(config.layers))
    found = wide * config.attention.heads * (value + 1)
    kept = 4 * length * (config.width * (8 if offload else 2 * config.layers + 8) + found)
    logits = 16 * min(LOGITS, length * config.vocabulary_size)
    return kept + logits + 4 * max(length * attention, min(length, PIECE) * 2 * feed)


def table(length: int | None = None, itemsize: int = 2) -> str:
    """Every preset in both forms with its measured figures at `length` positions (None: its own), as text."""
    from nymph.model.presets import PRESETS, preset

    lines = [
        f"{'preset':12}{'positions':>10}{'parameters':>15}{'FLOPs/token':>13}{'cache B/token':>15}{'rings MiB':>11}"
        f"{'train GiB':>11}{'offloaded':>11}"
    ]
    for name in PRESETS:
        for form in ("mla", "gqa"):
            config = preset(name, form)
            e = estimate(config, length, itemsize)
            offloaded = estimate(config, length, itemsize, offload=True).training_bytes
            positions = length or config.context_length
            lines.append(
                f"{name + ' ' + form:12}{positions:10,}{e.parameters:15,}{e.flops_per_token:13.3g}"
                f"{e.cache_bytes_per_token:15,}{e.window_cache_bytes / 2**20:11.2f}"
                f"{e.training_bytes / 2**30:11.2f}{offloaded / 2**30:11.2f}"
            )
    return "\n".join(lines)
