"""From logits to the next token: repetition penalty, temperature, top-k, top-p and min-p, each row with its own dice.

A row draws from a generator of its own (seed + row), on the CPU: the same prompt continues the same way in any batch
and on any device whose logits agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nymph.errors import NymphError
from nymph.model.config import STRICT


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How tokens are chosen, and when to stop."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    temperature: float = 0.8
    """0 takes the likeliest token; otherwise 0.1 (sober) to 2.0 (wild)."""
    top_k: int | None = None
    """Only this many likeliest tokens, 1 to 100; None is all."""
    top_p: float = 1.0
    """Only the likeliest tokens that together reach this probability (arXiv:1904.09751)."""
    min_p: float = 0.0
    """Only tokens with at least this share of the likeliest one's probability (arXiv:2407.01082)."""
    repetition_penalty: float = 1.0
    """Logits of tokens already there are divided (or multiplied, if negative) by this (arXiv:1909.05858)."""
    max_new_tokens: int = 256
    stop_tokens: tuple[int, ...] = ()
    """A row ends after the first of these."""
    seed: int = 0

    def __post_init__(self) -> None:
        _check(
            "temperature", self.temperature, self.temperature == 0 or 0.1 <= self.temperature <= 2, "0, or 0.1 to 2.0"
        )
        _check("top_k", self.top_k, self.top_k is None or 1 <= self.top_k <= 100, "1 to 100, or none")
        _check("top_p", self.top_p, 0 < self.top_p <= 1, "above 0, up to 1")
        _check("min_p", self.min_p, 0 <= self.min_p < 1, "at least 0, below 1")
        _check("repetition_penalty", self.repetition_penalty, 1 <= self.repetition_penalty <= 10, "1 to 10")
        _check("max_new_tokens", self.max_new_tokens, self.max_new_tokens >= 1, "1 or more")


class Sampler:
    """Chooses the next token of each row; remembers which tokens each row holds."""

    def __init__(self, config: SamplingConfig, prompts: Sequence[Sequence[int]], vocabulary: int) -> None:
        self.config = config
        self.generators = [torch.Generator().manual_seed(config.seed + row) for row in range(len(prompts))]
        self.seen = torch.zeros(len(prompts), vocabulary, dtype=torch.bool)
        for row, tokens in enumerate(prompts):
            self.seen[row, list(tokens)] = True

    def __call__(self, logits: Tensor) -> Tensor:
        """logits [B, V] -> tokens [B] on the CPU."""
        scores = self._penalised(logits.detach().float().cpu())
        if self.config.temperature == 0:
            tokens = scores.argmax(dim=-1)
        else:
            probabilities = restrict(scores / self.config.temperature, self.config).softmax(dim=-1)
            draws = [torch.multinomial(p, 1, generator=g) for p, g in zip(probabilities, self.generators, strict=True)]
            tokens = torch.cat(draws)
        self.seen[torch.arange(len(tokens)), tokens] = True
        return tokens

    def _penalised(self, scores: Tensor) -> Tensor:
        penalty = self.config.repetition_penalty
        if penalty == 1:
            return scores
        return torch.where(self.seen, torch.where(scores > 0, scores / penalty, scores * penalty), scores)


def restrict(scores: Tensor, config: SamplingConfig) -> Tensor:
    """Scores [B, V] with -inf for tokens that top_k, top_p or min_p exclude; the likeliest always stays."""
    if config.top_k is not None and config.top_k < scores.shape[-1]:
        scores = scores.masked_fill(scores < scores.topk(config.top_k).values[:, -1:], float("-inf"))
    if config.top_p < 1:
        ordered, order = scores.softmax(dim=-1).sort(dim=-1, descending=True)
        beyond = ordered.cumsum(dim=-1) - ordered >= config.top_p
        scores = scores.masked_fill(torch.zeros_like(beyond).scatter(1, order, beyond), float("-inf"))
    if config.min_p > 0:
        probabilities = scores.softmax(dim=-1)
        low = probabilities < config.min_p * probabilities.amax(dim=-1, keepdim=True)
        scores = scores.masked_fill(low, float("-inf"))
    return scores


def _check(name: str, value: object, right: bool, expected: str) -> None:
    if not right:
        raise NymphError(f"sampling option {name} must be {expected}, got {value!r}")
