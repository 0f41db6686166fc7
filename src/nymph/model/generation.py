"""Generation: continue prompts token by token, and audio patch by audio patch, in batches, as a stream or at once.

Prompts of different lengths share a batch; a row that has stopped costs its share of the work until all have. Audio
units are tokens like any other. Where the sampled token is `audio_token`, the patch at that position is what the
next-audio head expects there (its loss is Huber's, so the conditional median) and is fed back with it. The speaker and
sentiment of a prompt's last position hold on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nymph.errors import NymphError
from nymph.model.cache import Cache
from nymph.model.multimodal import Batch, MultimodalModel
from nymph.model.packed import pack, packed_linears, product
from nymph.model.sampling import Sampler, SamplingConfig


@dataclass(frozen=True)
class Step:
    """What one step adds: a token a row (None where the row has ended) and the audio patches of rows that got one."""

    tokens: tuple[int | None, ...]
    audio: dict[int, Tensor] = field(default_factory=dict)
    """Audio patch [mel_patch], standardised like the training rows', by row."""


@dataclass
class Continuation:
    """What followed one prompt."""

    tokens: list[int] = field(default_factory=list)
    audio: list[Tensor] = field(default_factory=list)
    """One patch [mel_patch] for each audio token, in order."""


def prompt_batch(prompts: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Token lists as a batch, padded on the right."""
    if not prompts or not all(prompts):
        raise NymphError("each prompt needs at least one token; begin with the tokenizer's start token")
    tokens = torch.zeros(len(prompts), max(map(len, prompts)), dtype=torch.long)
    document = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = torch.tensor(prompt)
        document[row, : len(prompt)] = 1
    return {"tokens": tokens, "document": document}


def generate(
    model: MultimodalModel,
    prompts: Sequence[Sequence[int]] | Batch,
    options: SamplingConfig | None = None,
    audio_token: int | None = None,
) -> list[Continuation]:
    """The continuation of each prompt, its stop token included; arguments as for `stream`."""
    found: list[Continuation] = []
    for step in stream(model, prompts, options, audio_token):
        found = found or [Continuation() for _ in step.tokens]
        for row, token in enumerate(step.tokens):
            if token is not None:
                found[row].tokens.append(token)
        for row, patch in step.audio.items():
            found[row].audio.append(patch)
    return found


def stream(
    model: MultimodalModel,
    prompts: Sequence[Sequence[int]] | Batch,
    options: SamplingConfig | None = None,
    audio_token: int | None = None,
) -> Iterator[Step]:
    """Continue prompts, a Step at a time, until every row has stopped or `max_new_tokens` is reached.

    `prompts` are token lists, or a batch of one document a row padded on the right. Raises NymphError for an empty
    prompt, a token outside the vocabulary or a packed row.
    """
    options = options or SamplingConfig()
    batch = prompts if isinstance(prompts, dict) else prompt_batch(prompts)  # type: ignore[arg-type]
    batch = {key: value.to(model.head.device) for key, value in batch.items()}
    lengths = _lengths(batch, model.config.vocabulary_size)
    was_training = model.training
    model.eval()
    try:
        with packed_linears(model, rows=len(lengths)):
            yield from _steps(model, batch, lengths, options, audio_token)
    finally:
        model.train(was_training)


def _steps(
    model: MultimodalModel, batch: Batch, lengths: Tensor, options: SamplingConfig, audio_token: int | None
) -> Iterator[Step]:
    cache = Cache(model.config, int(lengths.max()) + options.max_new_tokens)
    prompts = [row[:length].tolist() for row, length in zip(batch["tokens"], lengths.tolist(), strict=True)]
    sampler = Sampler(options, prompts, model.config.vocabulary_size)
    ended = torch.zeros(len(lengths), dtype=torch.bool)
    stops = torch.tensor(options.stop_tokens, dtype=torch.long)
    held = _held(batch, lengths)
    head = pack(model.head, rows=len(lengths))
    with torch.inference_mode():
        rows = torch.arange(len(lengths), device=lengths.device)
        hidden = model(batch, cache=cache)[rows, lengths - 1]
    for offset in range(options.max_new_tokens):
        with torch.inference_mode():
            tokens = sampler(product(hidden, model.head, head))
            patches = model.next_audio_head(hidden)
        speaking = [r for r in range(len(tokens)) if not ended[r] and tokens[r] == audio_token]
        yield Step(
            tuple(None if done else token for token, done in zip(tokens.tolist(), ended.tolist(), strict=True)),
            {row: patches[row].cpu() for row in speaking},
        )
        ended |= torch.isin(tokens, stops)
        if ended.all() or offset + 1 == options.max_new_tokens:
            return
        step = {**held, "tokens": tokens[:, None].to(lengths.device), "position": (lengths + offset)[:, None]}
        if speaking:
            step |= {"audio": patches[speaking], "audio_index": torch.tensor(speaking, device=lengths.device)}
        with torch.inference_mode():
            hidden = model.step(step, cache)[:, 0]


def _lengths(batch: Batch, vocabulary: int) -> Tensor:
    """Positions of each prompt [B]."""
    tokens = batch["tokens"]
    if tokens.numel() == 0 or not 0 <= int(tokens.min()) <= int(tokens.max()) < vocabulary:
        raise NymphError(f"prompts must hold token ids of 0 to {vocabulary - 1}; check that tokenizer and model match")
    document = batch.get("document", torch.ones_like(tokens))
    lengths = (document > 0).sum(dim=1)
    if int(lengths.min()) == 0 or int(document.max()) > 1 or bool((document[:, 1:] > document[:, :-1]).any()):
        raise NymphError("a prompt must be one document a row, padded on the right; unpack rows before generating")
    return lengths


def _held(batch: Batch, lengths: Tensor) -> dict[str, Tensor]:
    """Speaker and sentiment of each prompt's last position, for the positions to come."""
    rows = torch.arange(len(lengths), device=lengths.device)
    held = {name: batch[name][rows, lengths - 1][:, None] for name in ("speaker", "sentiment") if name in batch}
    return held | {name: batch[name] for name in ("speaker_vectors",) if name in batch}
