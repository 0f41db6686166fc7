"""What the evaluation stage measures: losses as the trainer counts them, ablations, and samples."""

from pathlib import Path
from typing import Any

import torch

from nymph.flight.source import RowSource, open_source
from nymph.flight.tickets import Ticket
from nymph.model.config import ObjectiveConfig
from nymph.model.generation import generate
from nymph.model.masking import MODALITIES
from nymph.model.multimodal import MultimodalModel
from nymph.model.sampling import SamplingConfig
from nymph.pipelines.evaluation.options import EvaluationOptions
from nymph.sequences.collation import Batch, collate
from nymph.text.tokenizer import Tokenizer
from nymph.training.devices import pick_device
from nymph.training.evaluation import Evaluation, evaluate
from nymph.training.job import Job
from nymph.training.world import World

_SHOW_ALL = frozenset({"image"})
"""Withholding what no row holds: every other modality is shown and none is masked, so that ablations compare alike."""
PROMPT_SHARE = 4
"""A sample's prompt is this part of its document."""


def measure_model(
    training: dict[str, Any], test_rows: str, tokenizer: Tokenizer, options: EvaluationOptions, runs: Path
) -> dict[str, Any]:
    """The evaluation report of the run and checkpoint that `training`, a training report, names."""
    job = Job.read(runs / training["run"] / "job.json")
    model = MultimodalModel.from_pretrained(training["checkpoint"], str(pick_device(options.device)))
    source = open_source(test_rows, **job.reach)
    try:
        report = _losses(model, source, job.objectives, options)
        report["samples"] = _samples(model, source, tokenizer, options)
    finally:
        source.close()
    about = {"run": training["run"], "checkpoint": training["checkpoint"], "rows": source.rows}
    return {**about, "in": f"{source.rows} rows", "out": "1 report", **report}


def _losses(
    model: MultimodalModel, source: RowSource, objectives: ObjectiveConfig, options: EvaluationOptions
) -> dict[str, Any]:
    if not source.rows:
        return {"summary": ["no test rows: the corpus is too small to hold any back"]}
    world = World(model.head.device)

    def measure(hide: frozenset[str] = frozenset()) -> Evaluation:
        return evaluate(model, source, objectives, world, options.batch_rows, options.rows, hide=hide)

    whole = measure()
    withheld = [frozenset({name}) for name in MODALITIES if name not in _SHOW_ALL] if options.ablations else []
    shown = measure(_SHOW_ALL).losses if withheld else {}
    without = {next(iter(names)): measure(names).losses for names in withheld}
    return {
        "loss": whole.loss,
        "losses": whole.losses,
        "accuracy": whole.accuracy,
        "perplexity": whole.perplexity,
        "with_all": shown,
        "without": without,
        "summary": _summary(whole, shown, without),
    }


def _summary(whole: Evaluation, shown: dict[str, float], without: dict[str, dict[str, float]]) -> list[str]:
    parts = ", ".join(f"{name} {value:.4f}" for name, value in whole.losses.items())
    lines = [f"test loss {whole.loss:.4f} ({parts})"]
    changes = [
        f"without {name} {losses['next_token'] - shown['next_token']:+.4f}"
        for name, losses in without.items()
        if "next_token" in losses
    ]
    if not changes:
        return lines
    return [*lines, f"next-token loss {shown['next_token']:.4f} with every modality shown; {', '.join(changes)}"]


def _samples(
    model: MultimodalModel, source: RowSource, tokenizer: Tokenizer, options: EvaluationOptions
) -> list[dict[str, str]]:
    """Continue the first document of the first rows from its beginning."""
    prompts = _prompts(source, min(options.samples, source.rows))
    if not prompts:
        return []
    sampling = SamplingConfig(temperature=options.temperature, max_new_tokens=options.sample_tokens, seed=options.seed)
    found = generate(model, prompts, sampling)
    return [
        {"prompt": tokenizer.decode(prompt), "continuation": tokenizer.decode(continuation.tokens)}
        for prompt, continuation in zip(prompts, found, strict=True)
    ]


def _prompts(source: RowSource, count: int) -> list[list[int]]:
    if not count:
        return []
    ticket = Ticket(source.table, stop=count, shuffle=False, columns=None)
    batches: list[Batch] = [collate(batch) for batch in source.batches(ticket)]
    return [_beginning(tokens, document) for batch in batches for tokens, document in _rows(batch)]


def _rows(batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(batch["tokens"], batch["document"], strict=True))


def _beginning(tokens: torch.Tensor, document: torch.Tensor) -> list[int]:
    first = tokens[document == 1].tolist()
    return first[: max(1, len(first) // PROMPT_SHARE)]
