"""Write docs/configuration.md from the option models themselves: every key, its type, default and meaning.

`--check` writes nothing and fails where the page is out of date.
"""

import ast
import dataclasses
import inspect
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from nymph.cli.serve_options import ServeOptions
from nymph.compute import ComputeOptions
from nymph.dashboard.options import DashboardOptions
from nymph.hooks.tracking import MlflowOptions
from nymph.model.config import ModelConfig
from nymph.pipelines.evaluation.options import EvaluationOptions
from nymph.pipelines.features.options import FeatureOptions
from nymph.pipelines.ingestion.options import IngestionOptions
from nymph.pipelines.parquet.options import ParquetOptions
from nymph.pipelines.sentiment.options import SentimentParameters
from nymph.pipelines.tokenizer.options import TokenizerStageOptions
from nymph.pipelines.training.options import TrainingOptions
from nymph.sequences.tasks import Task
from nymph.sweeps.options import Interval, SweepOptions
from nymph.training.job import Job
from nymph.transcription.config import TranscriptionConfig

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"

SECTIONS: dict[str, tuple[str, type]] = {
    "catalog: transcriber.config": ("The transcriber entry of the catalog.", TranscriptionConfig),
    "params:ingestion": ("`conf/<env>/parameters/ingestion.yml`", IngestionOptions),
    "params:compute": ("`conf/<env>/parameters/compute.yml`", ComputeOptions),
    "params:features": ("`conf/<env>/parameters/features.yml`", FeatureOptions),
    "params:sentiment": ("`conf/<env>/parameters/sentiment.yml`", SentimentParameters),
    "params:tokenizer": ("`conf/<env>/parameters/tokenizer.yml`", TokenizerStageOptions),
    "params:parquet": ("`conf/<env>/parameters/parquet.yml`", ParquetOptions),
    "params:parquet.mix.tasks.NAME": ("One task: conditions -> targets.", Task),
    "params:training": ("`conf/<env>/parameters/training.yml`", TrainingOptions),
    "params:training.architecture": ("Fields that differ from the preset; the defaults are tiny's.", ModelConfig),
    "params:sweep": ("`conf/<env>/parameters/sweep.yml`, of `kedro sweep`", SweepOptions),
    "params:sweep.space.NAME": ("An interval, for Optuna.", Interval),
    "params:evaluation": ("`conf/<env>/parameters/evaluation.yml`", EvaluationOptions),
    "mlflow.yml": ("Experiment tracking.", MlflowOptions),
    "serve.yml": ("The Flight server.", ServeOptions),
    "dashboard.yml": ("The live page.", DashboardOptions),
}

HEAD = """# Configuration

Every option, from the models that check them (`python scripts/document_options.py` writes this page). On the command
line: `kedro run --params training.steps=500,training.optimiser.learning_rate=0.001`. An unknown key is an error that
names the nearest right one, before anything runs.
"""


def main() -> None:
    """Write the page, or check it."""
    page = "\n".join([HEAD, *(line for name, (text, kind) in SECTIONS.items() for line in _section(name, text, kind))])
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page)
    elif PAGE.read_text() != page:
        sys.exit("docs/configuration.md is out of date; run python scripts/document_options.py")


def _section(name: str, text: str, kind: type) -> list[str]:
    rows = [f"| `{key}` | {shape} | {default} | {meaning} |" for key, shape, default, meaning in _rows(kind, "")]
    return [f"## {name}", "", text, "", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]


def _rows(kind: type, prefix: str) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    meanings = _docstrings(kind) | (_docstrings(Job) if kind is TrainingOptions else {})
    for name, (annotation, default) in _fields(kind).items():
        if _is_options(annotation):
            rows += _rows(annotation, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, _shape(annotation), _cell(default), _cell_text(meanings.get(name, ""))))
    return rows


def _fields(kind: type) -> dict[str, tuple[Any, Any]]:
    if issubclass(kind, BaseModel):
        return {
            name: (field.annotation, field.get_default(call_default_factory=True))
            for name, field in kind.model_fields.items()
        }
    hints = get_type_hints(kind)
    return {field.name: (hints[field.name], _default(field)) for field in dataclasses.fields(kind)}


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else PydanticUndefined


def _is_options(annotation: Any) -> bool:
    return isinstance(annotation, type) and (dataclasses.is_dataclass(annotation) or issubclass(annotation, BaseModel))


def _shape(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    return text.replace("typing.", "").replace("NoneType", "None").replace("|", "or").replace("pathlib._local.", "")


def _cell(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    text = str(value) if not isinstance(value, str) else value or '""'
    return f"`{text}`" if len(text) <= 60 else "see the model"


def _cell_text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _docstrings(kind: type) -> dict[str, str]:
    """Field name -> the string under it, of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("nymph."):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):
            continue
        body = ast.parse(source).body[0].body  # type: ignore[attr-defined]
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = str(text.value.value)  # type: ignore[union-attr]
    return found


if __name__ == "__main__":
    main()
