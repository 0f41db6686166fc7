"""Samples in MLflow: one table of what the model said at each step, and the spectrograms it drew.

The table is built anew from the files that the run keeps and replaces the one before, so sending it twice changes
nothing. MLflow's own `log_table` appends and would hold every repeat.
"""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nymph.reporting.samples import WORDS, read_sample, sample_picture
from nymph.training.events import SAMPLES

if TYPE_CHECKING:
    from mlflow import MlflowClient

COLUMNS = ("step", *WORDS, "sentiment", "predicted_sentiment")
_TABLES_TAG = "mlflow.loggedArtifacts"
"""Where MLflow's pages look for tables."""


def log_samples(client: "MlflowClient", run_id: str, run: Path, name: str) -> None:
    """Log the samples in the run directory `run` as the table `NAME.json`, and the latest pictures beside it."""
    samples = {file.name: sample for file in sorted((run / SAMPLES).glob("*.json")) if (sample := _read(run, file))}
    if not samples:
        return
    rows = [_row(sample) for sample in samples.values()]
    table = f"{name}.json"
    client.log_dict(run_id, {"columns": list(COLUMNS), "data": rows}, table)
    tables = json.loads(client.get_run(run_id).data.tags.get(_TABLES_TAG, "[]"))
    if {"path": table, "type": "table"} not in tables:
        client.set_tag(run_id, _TABLES_TAG, json.dumps([*tables, {"path": table, "type": "table"}]))
    latest = max(sample["step"] for sample in samples.values())
    for file, sample in samples.items():
        if sample["step"] == latest and (picture := sample_picture(sample)):
            _log_bytes(client, run_id, picture, f"{name}/{Path(file).stem}.png")


def _read(run: Path, file: Path) -> dict[str, Any] | None:
    try:
        return read_sample(run, file.name)
    except (OSError, ValueError):  # the trainer keeps only the newest
        return None


def _row(sample: dict[str, Any]) -> list[Any]:
    sentiment = sample.get("sentiment", {})
    shares = sentiment.get("predicted") or {}
    guess = max(shares, key=shares.__getitem__) if shares else None
    return [sample["step"], *(sample[name] for name in WORDS), sentiment.get("true"), guess]


def _log_bytes(client: "MlflowClient", run_id: str, data: bytes, path: str) -> None:
    """Artifacts come from files; a scratch one has the name that it will have."""
    folder, _, name = path.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / name
        file.write_bytes(data)
        client.log_artifact(run_id, str(file), folder)
