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
    from nymph.training.estimate import estimate_run
    from nymph.training.launch import rank_count

    job = training_job(metadata, env, params)
    found = estimate_run(job, seconds, ranks=rank_count(job) * job.launch.nodes)
    write_estimate(job, found)
    for name, text in describe(found, job.keep_last).items():
        click.echo(f"{name:22}{text}")


def describe(found: Any, keep_last: int) -> dict[str, str]:
    """A `RunEstimate` in words."""
    return {
        "run": f"{found.steps:,} steps, {found.tokens:,} tokens, {found.epochs:.1f} epochs",
        "model": f"{found.parameters:,} parameters on {found.ranks} x {found.device} in {found.precision}",
        "time": f"{duration(found.seconds)} ({found.step_seconds:.3f} s a step, "
        f"{found.evaluation_seconds:.1f} s an evaluation; {found.probed_steps} steps were probed)",
        "speed": f"{found.tokens_per_second:,.0f} tokens a second",
        "memory per device": f"{found.memory_bytes / 1e9:.2f} GB",
        "checkpoints": f"{(keep_last + 2) * found.checkpoint_bytes / 1e9:.2f} GB at most, "
        f"{found.disk_free_bytes / 1e9:.0f} GB are free",
        "energy": "nothing here measures it" if found.joules is None else f"{found.joules / 3.6e6:.4f} kWh",
    }


def duration(seconds: float) -> str:
    """`1 h 02 min`, `3 min 20 s` or `12.5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02} min"
