"""`kedro estimate`: what a training run will cost, before it is begun."""

from typing import Any

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import params_option


@click.command(cls=ClearCommand)
@env_option
@params_option
@click.option("--seconds", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Length of the probe.")
@click.pass_obj
def estimate(metadata: ProjectMetadata, /, env: str | None, params: dict[str, Any], seconds: float) -> None:
    """Train for some seconds, forget the result, and say what the whole run takes: time, memory, tokens, energy.

    The run itself, once it has ended, says how wrong this was.
    """
    from nymph.cli.jobs import training_job
    from nymph.pipelines.training.predictions import write_estimate
    from nymph.training.apart import apart
    from nymph.training.estimate import estimate_run
    from nymph.training.launch import rank_count

    job = training_job(metadata, env, params)
    local = rank_count(job)
    click.echo(f"training {job.run} for a while, then forgetting it", err=True)
    arguments = job, seconds, local * job.launch.nodes
    found = apart(local, estimate_run, *arguments) if local > 1 else estimate_run(*arguments)
    write_estimate(job, found)
    for name, text in describe(found, job.keep_last).items():
        click.echo(f"{name:22}{text}")


def describe(found: Any, keep_last: int) -> dict[str, str]:
    """A `RunEstimate` in words."""
    return {
        "run": f"{found.steps:,} steps, {found.tokens:,} tokens, {found.epochs:.1f} epochs",
        "model": f"{found.parameters:,} parameters on {found.ranks} x {found.device} in {found.precision}",
        "time": f"{duration(found.seconds)} ({found.step_seconds:.3f} s a step, "
        f"{found.evaluation_seconds:.1f} s an evaluation; {_probed(found)})",
        "speed": f"{found.tokens_per_second:,.0f} tokens a second",
        "memory per device": _memory(found),
        "checkpoints": f"{(keep_last + 2) * found.checkpoint_bytes / 1e9:.2f} GB at most, "
        f"{found.disk_free_bytes / 1e9:.0f} GB are free",
        "energy": "nothing here measures it" if found.joules is None else f"{found.joules / 3.6e6:.4f} kWh",
    }


def _probed(found: Any) -> str:
    steps = f"{found.probed_steps} steps were probed"
    return f"{steps}, of {found.probed_rows} rows each" if found.probed_rows else steps


def _memory(found: Any) -> str:
    figures = f"{found.memory_bytes / 1e9:.2f} GB, {found.memory_free_bytes / 1e9:.2f} GB are free"
    enough = found.memory_bytes <= found.memory_free_bytes
    return figures if enough else f"{figures}: raise training.gradient_accumulation, or choose a smaller preset"


def duration(seconds: float) -> str:
    """`1 h 02 min`, `3 min 20 s` or `12.5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02} min"
