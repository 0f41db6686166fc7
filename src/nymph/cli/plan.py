"""`kedro plan`: how several devices, equal or not, should share a training step."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import params_option, run_command
from nymph.errors import NymphError

if TYPE_CHECKING:
    from nymph.training.plan import PlannedRank

DEFAULT = "data/06_models/plan.yml"


@click.command(cls=ClearCommand)
@env_option
@params_option
@click.option("--device", "devices", multiple=True, help="Device of a rank, once for each. [default: every GPU]")
@click.option("--seconds", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Probe of each device.")
@click.option(
    "--memory",
    "gigabytes",
    multiple=True,
    type=click.FloatRange(min=0, min_open=True),
    help="GB of each --device. [default: what is free]",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT, show_default=True)
@click.pass_obj
def plan(
    metadata: ProjectMetadata,
    /,
    env: str | None,
    params: dict[str, Any],
    devices: tuple[str, ...],
    seconds: float,
    gigabytes: tuple[float, ...],
    output: Path,
) -> None:
    """Measure every device with the job's own model and deal the rows of a step so that all end together.

    A model that not every device can hold is cut into shards, or into stages of as many layers as each has memory for.

    Writes a short YAML file, which you may edit; `training.plan` names it. Refuses what cannot work, with the reason.
    """
    from nymph.cli.jobs import training_job
    from nymph.pipelines.training.predictions import write_plan
    from nymph.training.plan import plan_step
    from nymph.training.probe import device_memory, every_device, probe_rank

    _make_room(output)
    job = training_job(metadata, env, params)
    names = devices or every_device()
    memory = [int(one * 1e9) for one in gigabytes] or [device_memory(name, names) for name in names]
    if len(memory) != len(names):
        raise NymphError(f"--memory was given {len(memory)} times for {len(names)} devices; give it once for each")
    ranks = []
    for name, mine in zip(names, memory, strict=True):
        click.echo(f"measuring {name}, with {mine / 1e9:.1f} GB", err=True)
        ranks.append(probe_rank(job, name, mine, seconds, of_ranks=len(names)))
    found = plan_step(ranks, job.batch_rows, job.model)
    for number, (speed, rank) in enumerate(zip(ranks, found.ranks, strict=True)):
        gemm = ", ".join(f"{name} {flops / 1e12:.2f}" for name, flops in speed.gemm_flops.items())
        click.echo(
            f"rank {number}  {rank.device:8} {_part(rank)}  {rank.rows_per_second:10.2f} rows/s  "
            f"memory {rank.predicted_memory_bytes / 1e9:.2f} of {rank.memory_bytes / 1e9:.1f} GB  "
            f"TFLOP/s {gemm}  link {speed.link_bytes_per_second / 1e9:.1f} GB/s"
        )
    if found.sharding != "none":
        click.echo(f"the model does not fit each device whole: launch.sharding {found.sharding}")
    click.echo(
        f"a step takes {found.step_seconds:.3f} s in {found.precision}, "
        f"each rank's rows in {found.gradient_accumulation} micro-batch(es): "
        f"{found.efficiency:.0%} of the devices' own speeds, before they exchange gradients"
    )
    write_plan(output, found)
    click.echo(f"written to {output}; train with it: {run_command(env, params, **{'training.plan': output})}")


def _make_room(output: Path) -> None:
    """The plan's folder, before minutes of measuring."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NymphError(f"--output {output}: its folder cannot be made ({error.strerror}); name another") from None


def _part(rank: "PlannedRank") -> str:
    return f"{rank.layers:4} layers" if rank.layers else f"{rank.rows:4} rows"
