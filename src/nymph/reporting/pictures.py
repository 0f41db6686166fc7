"""Small pictures for people: a recording's frames, and the losses of runs. PNG bytes, the same for the same input."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from nymph.sequences.picture import png
from nymph.training.events import read_events

FRAMES_PER_SECOND = 100
LONGEST_SECONDS = 30


def frames_picture(frames: pa.Table) -> bytes:
    """Log-mel spectrogram with F0 over it, and energy below, of the first 30 seconds of one recording's frames."""
    frames = frames.slice(0, LONGEST_SECONDS * FRAMES_PER_SECOND).combine_chunks()
    seconds = np.arange(len(frames)) / FRAMES_PER_SECOND
    mel = np.stack(frames["log_mel"].to_numpy()) if len(frames) else np.zeros((1, 80))
    figure = Figure(figsize=(12, 5), layout="constrained")
    sound, energy = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    sound.imshow(mel.T, origin="lower", aspect="auto", extent=(0, len(mel) / FRAMES_PER_SECOND, 0, mel.shape[1]))
    sound.set_ylabel("mel band")
    pitch = sound.twinx()
    pitch.plot(seconds, frames["f0_hz"].to_numpy(), color="white", linewidth=1.2)
    pitch.set_ylabel("F0 (Hz)")
    energy.plot(seconds, frames["energy_db"].to_numpy(), linewidth=0.8)
    energy.set_ylabel("energy (dB)")
    energy.set_xlabel("time (s)")
    return png(figure)


def loss_picture(logs: Mapping[str, Path]) -> bytes:
    """Training losses as lines and validation losses as dots, one colour for each run: name -> event log."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.subplots()
    for number, (name, log) in enumerate(logs.items()):
        # By step, so that what a run repeated after a kill is drawn once.
        training: dict[int, float | None] = {}
        validation: dict[int, float | None] = {}
        for event in read_events(log):
            if event["kind"] == "step":
                training[event["step"]] = event["loss"]
            elif event["kind"] == "evaluation" and event["split"] == "validation":
                validation[event["step"]] = event["loss"]
        colour = f"C{number % 10}"
        axes.plot(list(training), _gaps(training), color=colour, linewidth=1, label=name)
        axes.plot(list(validation), _gaps(validation), "o", color=colour, markersize=4)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (dots: validation)")
    if logs:
        axes.legend(fontsize=8)
    return png(figure)


def _gaps(losses: Mapping[int, float | None]) -> list[float]:
    """Losses that were not finite are null in the log, and gaps in a picture."""
    return [np.nan if loss is None else loss for loss in losses.values()]
