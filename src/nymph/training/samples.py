"""What the model makes of a few validation documents: continued text, expected sound, prosody and sentiment.

Written after an evaluation as JSON files beside the event log, for people to look at and listen to; no step waits for
it, and where it fails training goes on. Tokens stay numbers here: whoever shows them has the tokenizer. Legend: n
positions of one document, k audio patches in it.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nymph.files import write_json
from nymph.flight.source import RowSource
from nymph.flight.tickets import Ticket
from nymph.model.generation import generate
from nymph.model.masking import Masks
from nymph.model.multimodal import MultimodalModel, prosody_present
from nymph.model.sampling import SamplingConfig
from nymph.sequences.collation import Batch, collate
from nymph.sequences.schema import MEL_BINS, SENTIMENTS_KEY, STATISTICS_KEY, Modality, sentiment_labels_of
from nymph.sequences.statistics import FeatureStatistics, statistics_of
from nymph.training.devices import autocast
from nymph.training.events import SAMPLES

COUNT = 2
"""Documents shown after each evaluation."""
TOKENS = 32
"""Tokens each is continued with."""
ROWS_LOOKED_AT = 64
FILES_KEPT = 24
LONGEST = 50
"""Patches of a picture: 4 s of sound."""
_RANGE = 3.0
"""Standard deviations that a picture shows either way."""


@dataclass(frozen=True)
class Specimen:
    """One document of the validation rows."""

    row: int
    document: int
    """Its number in the row, from 1."""
    batch: Batch
    """It alone: `tokens` [1, n] and so on."""

    @property
    def prompt(self) -> int:
        """Positions given before the model goes on: the conditions, or a quarter where there are none."""
        first = int((self.batch["loss_weight"][0] > 0).nonzero()[0])
        return first if first > 1 else max(1, self.batch["tokens"].shape[1] // 4)

    @property
    def shape(self) -> tuple[bool, ...]:
        """What it can show; more is better."""
        batch = self.batch
        sound, prosody = len(batch["audio"]) > 0, bool(prosody_present(batch).any())
        spoken = sound and int(batch["audio_index"][0]) < self.prompt
        return spoken, sound, prosody, bool((batch["sentiment"] >= 0).any())


def find_specimens(source: RowSource, count: int) -> list[Specimen]:
    """Up to `count` documents with words to continue from the first rows, each showing something else, best first."""
    found: dict[tuple[bool, ...], Specimen] = {}
    for specimen in _documents(source):
        found.setdefault(specimen.shape, specimen)
    return [found[shape] for shape in sorted(found, key=lambda shape: (sum(shape), shape), reverse=True)][:count]


class Sampler:
    """Looks at the same few documents of `source` again and again, and keeps what it saw beside the event log."""

    def __init__(self, run_directory: Path, source: RowSource, precision: str) -> None:
        self._folder, self._source, self._precision = run_directory, source, precision
        self._specimens: list[Specimen] | None = None

    def write(self, step: int, model: MultimodalModel) -> list[str]:
        """Write a file for each specimen; their paths relative to the run directory. The oldest files go."""
        if self._specimens is None:
            self._specimens = find_specimens(self._source, COUNT)
            (self._folder / SAMPLES).mkdir(exist_ok=True)
        names = [f"{SAMPLES}/{step:08d}-{index}.json" for index in range(len(self._specimens))]
        for name, specimen in zip(names, self._specimens, strict=True):
            write_json(self._folder / name, {"step": step, **look(model, specimen, self._source, self._precision)})
        for old in sorted((self._folder / SAMPLES).glob("*.json"))[:-FILES_KEPT]:
            old.unlink()
        return names


def look(model: MultimodalModel, specimen: Specimen, source: RowSource, precision: str) -> dict[str, Any]:
    """What `model` makes of a document, and what is true, as JSON values."""
    device = model.head.device
    batch = {name: tensor.to(device) for name, tensor in specimen.batch.items()}
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(precision, device):
            return {
                "row": specimen.row,
                "document": specimen.document,
                "tokens": specimen.batch["tokens"][0].tolist(),
                **_text(model, specimen),
                **_features(model, batch, source),
            }
    finally:
        model.train(training)


def _text(model: MultimodalModel, specimen: Specimen) -> dict[str, list[int]]:
    """The words of the prompt, what the likeliest tokens go on with, and what truly follows."""
    batch, cut = specimen.batch, specimen.prompt
    words = batch["modality"][0] == Modality.TEXT
    ids = batch["tokens"][0]
    prompt = _part(batch, 0, 0, cut)
    end = (int(ids[-1]),) if batch["modality"][0][-1] == Modality.CONTROL else ()
    greedy = SamplingConfig(temperature=0, max_new_tokens=TOKENS, stop_tokens=end)
    return {
        "prompt": ids[:cut][words[:cut]].tolist(),
        "generated": generate(model, prompt, greedy)[0].tokens,
        "expected": ids[cut:][words[cut:]][:TOKENS].tolist(),
    }


def _features(model: MultimodalModel, batch: Batch, source: RowSource) -> dict[str, Any]:
    """Sound from the sound before it; prosody and sentiment with both withheld."""
    everywhere = torch.ones_like(batch["document"], dtype=torch.bool)
    hidden = model(batch, Masks({"sentiment": everywhere}, {"prosody": everywhere}))[0].float()
    shown: dict[str, Any] = {}
    at = batch["audio_index"]
    chosen = (at > 0).nonzero().squeeze(1)[:LONGEST]
    if len(chosen):
        shown["mel"] = _pictures(batch["audio"][chosen], model.next_audio_head(hidden[at[chosen] - 1]))
    present = prosody_present(batch)[0]
    about = source.schema.metadata or {}
    if STATISTICS_KEY in about and bool(present.any()):
        statistics = statistics_of(source.schema)
        truth, guess = batch["prosody"][0][present], model.prosody_head(hidden[present])
        shown["prosody"] = {"true": _curves(truth, statistics), "predicted": _curves(guess, statistics)}
    labelled = batch["sentiment"][0] >= 0
    if SENTIMENTS_KEY in about and bool(labelled.any()):
        labels = sentiment_labels_of(source.schema)
        shares = model.sentiment_head(hidden[labelled]).float().softmax(-1).mean(0).tolist()
        label = labels[int(batch["sentiment"][0][labelled][0])]
        shown["sentiment"] = {"true": label, "predicted": dict(zip(labels, shares, strict=False))}
    return shown


def _pictures(truth: Tensor, guess: Tensor) -> dict[str, Any]:
    """Patches [k, 640] as frames of 80 bytes, low bins first, on one scale of standard deviations."""
    return {"bins": MEL_BINS, "range": _RANGE, "true": _bytes(truth), "predicted": _bytes(guess)}


def _bytes(patches: Tensor) -> str:
    levels = ((patches.float() / (2 * _RANGE) + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return base64.b64encode(levels.cpu().numpy().tobytes()).decode()


def _curves(values: Tensor, statistics: FeatureStatistics) -> dict[str, list[float | None]]:
    """Standardised prosody [n, 4] as Hz and dB; None where nothing is voiced or known."""
    mean, deviation = torch.tensor(statistics.prosody_mean), torch.tensor(statistics.prosody_deviation)
    plain = values.float().cpu() * deviation + mean
    return {"f0_hz": _plain(plain[:, 0].exp()), "energy_db": _plain(plain[:, 2])}


def _plain(values: Tensor) -> list[float | None]:
    return [round(value, 2) if value == value else None for value in values.tolist()]


def _documents(source: RowSource) -> Iterator[Specimen]:
    """Documents of the first rows that hold words to be learned."""
    ticket = Ticket(source.table, stop=min(ROWS_LOOKED_AT, source.rows), batch_rows=8, shuffle=False)
    first = 0
    for rows in source.batches(ticket):
        batch = collate(rows)
        for row in range(rows.num_rows):
            for number in range(1, int(batch["document"][row].max()) + 1):
                places = (batch["document"][row] == number).nonzero().squeeze(1)
                part = _part(batch, row, int(places[0]), int(places[-1]) + 1)
                learned = (part["modality"] == Modality.TEXT) & (part["loss_weight"] > 0)
                if bool(learned.any()):
                    yield Specimen(first + row, number, part)
        first += rows.num_rows


def _part(batch: Batch, row: int, start: int, stop: int) -> Batch:
    """Positions of one row as a batch of their own, one document from position 0."""
    begin = row * batch["tokens"].shape[1] + start
    inside = (batch["audio_index"] >= begin) & (batch["audio_index"] < begin + stop - start)
    names = ("tokens", "modality", "loss_weight", "sentiment", "speaker", "prosody")
    return {
        **{name: batch[name][row : row + 1, start:stop] for name in names},
        "document": torch.ones(1, stop - start, dtype=torch.long),
        "position": torch.arange(stop - start)[None],
        "speaker_vectors": batch["speaker_vectors"],
        "audio": batch["audio"][inside],
        "audio_index": batch["audio_index"][inside] - begin,
    }
