"""`kedro validate`: what ingestion would make of a file or folder, without importing it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_config
from nymph.visible import visible

if TYPE_CHECKING:
    from nymph.ingestion.options import IngestionOptions

EPILOG = """Examples: kedro validate data/01_raw | kedro validate chats.jsonl --report chats.html

Exit codes: 0 everything can be used; 1 something would be quarantined; 2 the command could not work."""


@click.command(cls=ClearCommand, epilog=EPILOG)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the data report to this HTML file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of as text.")
@click.option("--most", type=click.IntRange(min=0), default=50, show_default=True, help="Faults to list.")
@env_option
@click.pass_obj
def validate(
    metadata: ProjectMetadata, /, path: Path, report: Path | None, as_json: bool, most: int, env: str | None
) -> None:
    """Read PATH as ingestion would and say what can be used, what cannot, and why. Nothing is imported.

    PATH is a recording, a text, a JSON lines file, plain or compressed, or a folder of them. Recordings are decoded to
    their end, for some damage shows only there. Paths in JSON lines start from data/01_raw for files inside it, from
    the folder otherwise. Options are those of params:ingestion.
    """
    from nymph.files import atomic_file
    from nymph.reporting.corpus import looked_at_report
    from nymph.reporting.page import render_page

    found = looked_at_report(path, _root(metadata, env, path), _options(metadata, env))
    if report is not None:
        with atomic_file(report, "w") as file:
            file.write(render_page(found))
    click.echo(json.dumps(found) if as_json else "\n".join(_lines(found, most, report)))
    sys.exit(1 if found["records"]["quarantined"] else 0)


def _root(metadata: ProjectMetadata, env: str | None, path: Path) -> Path | None:
    entry = load_config(metadata, env, "catalog").get("raw", {})
    raw = metadata.project_path / str(entry.get("filepath", "data/01_raw"))
    return raw if path.is_file() and path.resolve().is_relative_to(raw.resolve()) else None


def _options(metadata: ProjectMetadata, env: str | None) -> "IngestionOptions":
    from nymph.ingestion.options import IngestionOptions

    return IngestionOptions.model_validate(load_config(metadata, env, "parameters").get("ingestion", {}))


def _lines(found: dict[str, Any], most: int, report: Path | None) -> Iterator[str]:
    yield from found["summary"]
    yield from (f"  {name:6} {_counts(kind)}" for name, kind in found["kinds"].items())
    yield from (f"  {_quantiles(name, figure)}" for name, figure in found["figures"].items() if figure)
    if found["records"]["duplicates"]:
        yield f"{found['records']['duplicates']} are duplicates by content and would be used once"
    for entry in found["quarantine"]["entries"][:most]:
        where = entry["source"] if entry["line"] is None else f"{entry['source']}:{entry['line']}"
        yield f"{visible(where)}: {visible(entry['reason'])}: {visible(entry['message'])}"
    if len(found["quarantine"]["entries"]) > most:
        yield f"... and more: {_reasons(found)}"
    if report is not None:
        yield f"report: {report}"


def _counts(kind: dict[str, Any]) -> str:
    return f"{kind['count']:>8,}  {kind['hours']:.2f} h  {kind['words']:,} words  {kind['bytes']:,} bytes"


def _quantiles(name: str, figure: dict[str, Any]) -> str:
    median, least, most = (f"{figure[part]:,.4g}" for part in ("median", "least", "most"))
    return f"{name.replace('_', ' '):24} median {median}, from {least} to {most}"


def _reasons(found: dict[str, Any]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in found["quarantine"]["reasons"].items())
