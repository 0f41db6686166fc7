"""Train on packed rows, wherever they are."""

from pathlib import Path
from typing import Any

from nymph.files import fingerprint
from nymph.pipelines.training.options import TrainingOptions
from nymph.progress import TrainingBar
from nymph.reporting.samples import TOKENIZER
from nymph.text.tokenizer import Tokenizer
from nymph.training.forecast import Outcome
from nymph.training.job import Job
from nymph.training.report import Report
from nymph.training.rows import RowFacts, read_facts

FREE_TO_CHANGE = frozenset(
    {
        *("connection", "device", "launch", "prefetch", "steps", "patience", "max_seconds", "max_tokens", "resume"),
        *("evaluation_every", "evaluation_rows", "log_every", "console_every"),
        *("asynchronous_checkpoints", "checkpoint_every", "keep_last", "backup", "health", "preflight", "plan"),
    }
)
"""Options that continue the same run when they change; any other change, or other rows, begins a new one."""


def train_model(
    train_rows: str,
    validation_rows: str,
    tokenizer: Tokenizer,
    options: TrainingOptions,
    runs: Path,
    checkpoints: Path,
) -> dict[str, Any]:
    """Train, or continue where an earlier run of the same model on the same rows stopped."""
    from nymph.pipelines.training.predictions import with_predictions  # torch, which other stages do without
    from nymph.training.loop import train

    job = with_predictions(make_job(train_rows, validation_rows, options, runs, checkpoints), options.plan)
    job.write(Path(job.run_directory) / "job.json")
    (Path(job.run_directory) / TOKENIZER).parent.mkdir(exist_ok=True)
    tokenizer.save(Path(job.run_directory) / TOKENIZER)
    with TrainingBar() as progress:
        report = train(job, progress)
    return {"in": f"{read_facts(train_rows, **job.connection).rows} rows", **describe(job, report)}


def make_job(train_rows: str, validation_rows: str, options: TrainingOptions, runs: Path, checkpoints: Path) -> Job:
    """The job of these options on these rows; its name stands for everything that makes it another run."""
    training = read_facts(train_rows, **options.job_fields()["connection"])
    validation = read_facts(validation_rows, **options.job_fields()["connection"])
    training.check_same_tokenizer(validation)
    model = options.model_for(
        vocabulary_size=training.vocabulary_size,
        context_length=training.context_length,
        sentiment_classes=len(training.sentiments),
    )
    name = run_name(options, training)
    return Job(
        train_rows=train_rows,
        validation_rows=validation_rows if validation.rows else None,
        run_directory=str(runs / name),
        checkpoint_directory=str(checkpoints / name),
        model=model,
        **options.job_fields(),
    )


def run_name(options: TrainingOptions, rows: RowFacts) -> str:
    """`tiny-mla-1a2b3c4d`: the preset and a hash of every option and row that makes a run another one."""
    fixed = options.model_dump(mode="json", exclude=set(FREE_TO_CHANGE))
    return f"{options.preset}-{options.attention}-{fingerprint(fixed, rows.fingerprint)[:8]}"


def describe(job: Job, report: Report) -> dict[str, Any]:
    """The report with the run's name and a summary for people."""
    steps = f"{report.steps} steps"
    return {**report.to_dict(), "run": job.run, "out": steps, "summary": summary(job, report)}


def summary(job: Job, report: Report) -> list[str]:
    """Losses at start and end, and where the checkpoint is."""
    return [
        f"run {job.run}: {report.status.replace('_', ' ')} at step {report.steps} of {job.steps}{_hint(report)}",
        f"training loss {_change(report.first_training_loss, report.last_training_loss)}",
        f"validation loss {_change(report.first_validation_loss, report.last_validation_loss)}",
        f"checkpoint {report.checkpoint}",
        *_prediction(report.prediction),
    ]


def _prediction(outcome: Outcome | None) -> list[str]:
    if outcome is None:
        return []
    said, took = f"{outcome.predicted_seconds:,.1f} s", f"{outcome.seconds:,.1f} s"
    return [f"predicted ({outcome.source}) {said}, took {took}: {outcome.error:+.0%}"]


def _hint(report: Report) -> str:
    if report.status == "already_finished":
        return "; raise training.steps, or set training.resume=none, to train more"
    return f", continued from {Path(report.resumed_from).name}" if report.resumed_from else ""


def _change(first: float | None, last: float | None) -> str:
    return f"{_number(first)} at the start, {_number(last)} at the end"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
