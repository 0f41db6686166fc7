"""`python -m nymph.training job.json`, also under torchrun. Prints the report as one JSON line."""

import argparse
import json
import sys
from pathlib import Path

from nymph.errors import NymphError
from nymph.flight.source import open_source
from nymph.model.config import ModelConfig
from nymph.sequences.schema import context_length_of, vocabulary_size_of
from nymph.training.job import Job
from nymph.training.loop import train


def main(arguments: list[str] | None = None) -> int:
    """Train the job of the command line; the exit status."""
    try:
        report = train(job_of(parser().parse_args(arguments)))
    except NymphError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(report.to_dict()))
    return 0


def job_of(options: argparse.Namespace) -> Job:
    """The job file's job, or one of a tiny model for tables of a server: `--host H --port 9090 --file_list a b`."""
    if options.job and options.file_list:
        raise NymphError("a job file and --file_list were both given; choose one")
    if options.job:
        return Job.read(options.job)
    if not options.file_list:
        raise NymphError("nothing to train: give a job file, or --host, --port and --file_list")
    tables = tuple(f"grpc://{options.host}:{options.port}/{_table(name)}" for name in options.file_list)
    first = open_source(tables[0])
    model = ModelConfig(
        context_length=context_length_of(first.schema), vocabulary_size=vocabulary_size_of(first.schema)
    )
    first.close()
    run = Path(options.run_directory)
    return Job(
        train_rows=tables,
        train_weights=tuple(options.weights or ()),
        run_directory=str(run),
        checkpoint_directory=str(run / "checkpoints"),
        model=model,
        steps=options.steps,
    )


def _table(name: str) -> str:
    """The server's name of a table; the seed's users write `name.parquet`."""
    return name.removesuffix(".parquet").strip("/")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m nymph.training", description=__doc__)
    parser.add_argument("job", nargs="?", help="job file (JSON)")
    parser.add_argument("--host", default="127.0.0.1", help="Flight server that holds the rows")
    parser.add_argument("--port", type=int, default=9090)
    parser.add_argument("--file_list", nargs="+", metavar="TABLE", help="tables on that server, mixed row by row")
    parser.add_argument(
        "--weights", nargs="+", type=float, metavar="W", help="how often each row of each table comes in an epoch"
    )
    parser.add_argument("--run_directory", default="runs/training", help="where events and checkpoints go")
    parser.add_argument("--steps", type=int, default=Job.steps)
    return parser


if __name__ == "__main__":
    sys.exit(main())
