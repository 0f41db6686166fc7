"""A document of a row as a picture: its mel patches as a spectrogram, with what was said over the sound it belongs to.

For people, as `inspect` is: one document that shows the most, not a statistic.
"""

from collections.abc import Iterable
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nymph.sequences.inspect import DocumentView, RowView, shown
from nymph.sequences.schema import FRAMES_PER_PATCH, SECONDS_PER_FRAME

LONGEST_LABEL = 60
"""Characters."""


def picture_of(rows: Iterable[RowView]) -> bytes:
    """`figure_of` as a PNG; the same bytes for the same rows."""
    return png(figure_of(rows))


def png(figure: Figure) -> bytes:
    """A figure as a PNG; the same bytes for the same figure."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    return file.getvalue()


def figure_of(rows: Iterable[RowView]) -> Figure:
    """The document in `rows` whose sound and words alternate most; an empty frame that says so where none has sound."""
    documents = [document for row in rows for document in row.documents if _is_sound(document)]
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots()
    if documents:
        _draw(axes, max(documents, key=lambda document: len(document.runs)))
    else:
        axes.set_title("no sound in the first training rows")
    return figure


def _is_sound(document: DocumentView) -> bool:
    """Whether its patches are just those of its audio positions, so that runs say where each of them stands."""
    positions = sum(run.positions for run in document.runs if run.modality == "audio")
    return bool(positions) and document.mel.shape[1] == positions * FRAMES_PER_PATCH


def _draw(axes: Axes, document: DocumentView) -> None:
    seconds = document.mel.shape[1] * SECONDS_PER_FRAME
    axes.imshow(document.mel.astype(float), origin="lower", aspect="auto", extent=(0, seconds, 0, len(document.mel)))
    axes.set_title(f"{document.task} {document.id}", fontsize=9)
    axes.set_xlabel("sound in the row (s)")
    axes.set_ylabel("mel band")
    begin = end = 0.0
    for run in document.runs:
        if run.modality == "audio":
            begin, end = end, end + run.positions * FRAMES_PER_PATCH * SECONDS_PER_FRAME
            axes.axvline(end, color="white", linewidth=0.4)
        elif run.modality == "text" and end > begin:
            _label(axes, (begin + end) / 2, shown(run), upright=document.mel.shape[1] > 8 * len(run.text))
            begin = end


def _label(axes: Axes, at: float, text: str, upright: bool) -> None:
    height = axes.get_ylim()[1]
    label = text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 3] + "..."
    axes.text(
        at, height * 0.97, label, rotation=90 if upright else 0, ha="center", va="top", color="white", fontsize=8
    ).set_parse_math(False)
