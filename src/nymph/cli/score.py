"""`kedro score PATH`: how right the environment's transcriber is on recordings with references."""

from pathlib import Path

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_catalog


@click.command(cls=ClearCommand)
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@env_option
@click.pass_obj
def score(metadata: ProjectMetadata, /, path: Path, env: str | None) -> None:
    """Transcribe recordings under PATH and compare with the .stm, .rttm or .txt beside each.

    Prints the word error rate, the median distance of word edges from the reference's turns, and the diarization
    error rate (no collar, overlaps counted), for each recording and for all.
    """
    from nymph.transcription.comparison import compare, find_references

    references = find_references(path)
    transcriber = load_catalog(metadata, env).load("transcriber").get()
    click.echo(f"{'recording':<40}{'WER %':>9}{'edges ms':>10}{'DER %':>9}")
    for name, found in compare(references, lambda place: transcriber.transcribe(place).to_pylist()):
        cells = (found.word_error_rate, found.alignment_median_ms, found.diarization_error_rate)
        wer, edges, der = (_cell(value, scale) for value, scale in zip(cells, (100, 1, 100), strict=True))
        click.echo(f"{name[-39:]:<40}{wer:>9}{edges:>10}{der:>9}")


def _cell(value: float | None, scale: float) -> str:
    return "-" if value is None else f"{value * scale:.1f}"
