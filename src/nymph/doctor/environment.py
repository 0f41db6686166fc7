"""A configured environment: are its models there, its devices, its endpoints, its folders writable?"""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nymph.doctor.check import Finding, attempt
from nymph.errors import NymphError

CONNECT_SECONDS = 3.0


def model_findings(entries: Mapping[str, dict[str, Any]]) -> Iterator[Finding]:
    """Models that catalog entries name, found without loading them."""
    for name, entry in entries.items():
        kind = str(entry.get("type", "")).rpartition(".")[2]
        if kind in _PROBES:
            yield attempt(name, lambda entry=entry, kind=kind: _PROBES[kind](entry))  # type: ignore[misc]


def wants_cuda(entries: Mapping[str, dict[str, Any]]) -> bool:
    """Whether an entry insists on a CUDA device."""
    return any(
        str({**entry, **entry.get("config", {})}.get("device", "")).startswith("cuda") for entry in entries.values()
    )


def endpoint_findings(entries: Mapping[str, dict[str, Any]], tracking_uri: str) -> Iterator[Finding]:
    """Flight servers that entries read from, and the MLflow server."""
    endpoints = {str(entry["endpoint"]) for entry in entries.values() if "endpoint" in entry}
    for endpoint in sorted(endpoints):
        yield attempt("Flight", lambda endpoint=endpoint: _flight(endpoint, entries))  # type: ignore[misc]
    address = urlsplit(tracking_uri)
    if address.scheme in ("http", "https"):
        yield attempt("MLflow", lambda: _reach(address.hostname or "", address.port or 5000, tracking_uri))
    else:
        yield Finding("MLflow", "ok", tracking_uri)


def asset_finding(project: Path) -> Finding:
    """Chart.js, without which the dashboard draws nothing."""
    from nymph.dashboard.assets import find_chart

    return attempt("dashboard", lambda: f"Chart.js at {find_chart(project)}")


def writable_finding(project: Path) -> Finding:
    """Whether the pipeline may write its data."""
    data = project / "data"
    good = os.access(data if data.exists() else project, os.W_OK)
    return Finding(
        "data", "ok" if good else "failure", str(data), "" if good else "not writable: change its owner or mode"
    )


def _whisper(entry: dict[str, Any]) -> str:
    from nymph.transcription.config import TranscriptionConfig
    from nymph.transcription.models import whisper_model

    config = TranscriptionConfig.model_validate(entry["config"])
    where = whisper_model(config.model)
    if config.device == "cuda":
        import ctranslate2

        if not ctranslate2.get_cuda_device_count():
            raise NymphError(
                f"{config.model} is to run on cuda, but there is no GPU; set NYMPH_DEVICE=cpu or device: auto"
            )
    return f"{config.model} ({where}), {config.device}, {config.compute_type}"


def _speaker(entry: dict[str, Any]) -> str:
    from nymph.audio.speaker import default_weights

    return str(entry.get("weights") or default_weights())


def _sentiment(entry: dict[str, Any]) -> str:
    from nymph.sentiment.minilm import encoder_folder

    model = str(entry.get("model", "offline-minilm"))
    if model == "offline-minilm":
        return f"{model} ({encoder_folder()})"
    if Path(model).is_dir():
        return model
    from huggingface_hub import try_to_load_from_cache

    if try_to_load_from_cache(model, "config.json") is None and os.environ.get("HF_HUB_OFFLINE") == "1":
        raise NymphError(
            f"{model!r} is no folder and not in the hub's cache; run once with HF_HUB_OFFLINE=0, or use offline-minilm"
        )
    return model


_PROBES = {"TranscriberDataset": _whisper, "SpeakerEncoderDataset": _speaker, "SentimentDataset": _sentiment}


def _flight(endpoint: str, entries: Mapping[str, dict[str, Any]]) -> str:
    from nymph.flight.source import open_source

    tables = sorted({str(entry["table"]) for entry in entries.values() if entry.get("endpoint") == endpoint})
    rows = {}
    for table in tables:
        source = open_source(f"{endpoint}/{table}", patience=CONNECT_SECONDS)
        rows[table] = source.rows
        source.close()
    return f"{endpoint}: " + ", ".join(f"{table} ({count} rows)" for table, count in rows.items())


def _reach(host: str, port: int, name: str) -> str:
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise NymphError(
            f"{name} cannot be reached ({error}); start it with `mlflow server` or unset NYMPH_MLFLOW"
        ) from error
    return f"{name} answers"
