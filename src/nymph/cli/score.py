"""`kedro score PATH`: how right the environment's transcriber is on recordings with references."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_catalog
from nymph.errors import NymphError
from nymph.visible import visible

if TYPE_CHECKING:
    from nymph.transcription.comparison import Score


@click.command(cls=ClearCommand)
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@env_option
@click.pass_obj
def score(metadata: ProjectMetadata, /, path: Path, env: str | None) -> None:
    """Transcribe the recordings under PATH whose transcripts are known, and say how many errors there are.

    A transcript is a .stm, .TextGrid or .txt beside its recording or a JSON line that names it; a .rttm beside it says
    who speaks. Prints the word error rate, the median distance of word edges from those of the reference's words or
    turns, and the diarization error rate (no collar, overlaps counted), for each recording and for all.
    """
    from nymph.reporting.references import find_references
    from nymph.transcription.comparison import compare

    references = find_references(path)
    transcriber = load_catalog(metadata, env).load("transcriber").get()
    click.echo(f"{'recording':<40}{'WER %':>9}{'edges ms':>10}{'DER %':>9}")
    for name, found in compare(references, lambda place: transcriber.transcribe(place).to_pylist()):
        click.echo(
            f"{visible(name)[-39:]:<40}"
            + (f" {visible(str(found))}" if isinstance(found, NymphError) else _cells(found))
        )


def _cells(found: "Score") -> str:
    wer, edges, der = found.word_error_rate, found.alignment_median_ms, found.diarization_error_rate
    return f"{_cell(wer, 100):>9}{_cell(edges, 1):>10}{_cell(der, 100):>9}"


def _cell(value: float | None, scale: float) -> str:
    return "-" if value is None else f"{value * scale:.1f}"
