"""The feature stage against librosa's functions called one after another: CPU time, and how equal the results are.

    python benchmarks/features.py [--rounds 3] [--seconds 60]

Sound: the larger audio files below the folder NYMPH_BENCH_DATA, or the 30 s conversation that pyannote.audio ships,
up to `--seconds` in all. Rounds alternate between the two sides in one process; CPU seconds, medians. Both sides get
decoded samples; ours also builds the Arrow table. The last line is one JSON object.
"""

import argparse
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import librosa
import numpy as np
from inputs import data_folder
from rich.console import Console
from rich.table import Table

from nymph.audio.decode import AudioError, decode
from nymph.audio.frames import frame_table
from nymph.audio.framing import Framer
from nymph.audio.pyin import PitchRange
from nymph.audio.spectrogram import MELS, N_FFT, mel_power, spectral_features

RATE, HOP = 16_000, 160
SPECTRAL = {"sr": RATE, "n_fft": N_FFT, "hop_length": HOP, "n_mels": MELS}
RANGES = {
    "speech, 65-400 Hz": PitchRange(),
    "music, C2-C7": PitchRange(65.40639132514966, 2093.004522404789, 2048),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="sound to use in all")
    options = parser.parse_args()
    clips = list(sounds(options.seconds))
    seconds = sum(map(len, clips)) / RATE
    print(f"{len(clips)} recordings, {seconds:.1f} s; {options.rounds} rounds after one to warm up\n")
    report(clips, seconds, options.rounds)


def report(clips: list[np.ndarray], seconds: float, rounds: int) -> None:
    table = Table("settings", *(f"librosa {name}" for name in librosa_functions(RANGES["music, C2-C7"])))
    for heading in ("librosa all", "Nymph all", "times faster"):
        table.add_column(heading, justify="right")
    ratios = {}
    for name, search in RANGES.items():
        theirs, ours = measure(clips, search, rounds)
        ratios[name] = statistics.median(sum(t) / o for t, o in zip(theirs, ours, strict=True))
        parts = [statistics.median(column) for column in zip(*theirs, strict=True)]
        cells = [*parts, statistics.median(map(sum, theirs)), statistics.median(ours)]
        per_hour = [f"{cell * 3600 / seconds:.2f}" for cell in cells]
        table.add_row(name, *per_hour, f"{ratios[name]:.1f}")
    console = Console(width=120)
    console.print(table, "CPU seconds per hour of audio\n")
    errors = {name: pitch_errors(clips, search) for name, search in RANGES.items()}
    for name, (cents, agreement, differing) in errors.items():
        console.print(f"{name}: median {cents:g} cents, voicing {agreement:.2%}, {differing} frames differ in any way")
    cents, agreement, _ = errors["speech, 65-400 Hz"]
    mel, mfcc = spectral_errors(clips)
    figures = {
        "speedup_vs_librosa": round(ratios["speech, 65-400 Hz"], 1),
        "speedup_vs_librosa_c2_c7": round(ratios["music, C2-C7"], 1),
        "mel_max_rel_error": mel,
        "mfcc_max_rel_error": mfcc,
        "f0_median_cents": cents,
        "voicing_agreement": agreement,
    }
    print(json.dumps(figures))


def measure(clips: list[np.ndarray], search: PitchRange, rounds: int) -> tuple[list[list[float]], list[float]]:
    """CPU seconds of librosa's functions [rounds][function] and of Nymph's stage [rounds]."""
    functions = librosa_functions(search)
    theirs, ours = [], []
    for turn in range(rounds + 1):
        cost = cpu(lambda: [frame_table([clip], search) for clip in clips])
        costs = [cpu(lambda function=function: [function(clip) for clip in clips]) for function in functions.values()]
        if turn:
            ours.append(cost)
            theirs.append(costs)
    return theirs, ours


def librosa_functions(search: PitchRange) -> dict[str, Callable[[np.ndarray], Any]]:
    limits = {"fmin": search.f_min, "fmax": search.f_max, "frame_length": search.frame_length}
    return {
        "mel": lambda y: librosa.power_to_db(librosa.feature.melspectrogram(y=y, **SPECTRAL), top_db=None),
        "mfcc": lambda y: librosa.feature.mfcc(y=y, n_mfcc=20, **SPECTRAL),
        "rms": lambda y: librosa.feature.rms(y=y, frame_length=N_FFT, hop_length=HOP),
        "pyin": lambda y: librosa.pyin(y, sr=RATE, hop_length=HOP, **limits),
    }


def spectral_errors(clips: list[np.ndarray]) -> tuple[float, float]:
    """Largest error of mel power relative to the cell itself, and of MFCC relative to the clip's largest."""
    mel, mfcc = 0.0, 0.0
    for clip in clips:
        framer = Framer(N_FFT)
        ours = np.concatenate([mel_power(frames, MELS) for frames in [*framer.push(clip), *framer.finish()]])
        theirs = librosa.feature.melspectrogram(y=clip, **SPECTRAL).T
        mel = max(mel, float((np.abs(ours - theirs) / np.maximum(theirs, np.finfo(np.float32).tiny)).max()))
        expected = librosa.feature.mfcc(S=librosa.power_to_db(theirs.T, top_db=None), n_mfcc=20).T
        mfcc = max(mfcc, float(np.abs(spectral_features(clip).mfcc - expected).max() / np.abs(expected).max()))
    return mel, mfcc


def pitch_errors(clips: list[np.ndarray], search: PitchRange) -> tuple[float, float, int]:
    """Median cents where both are voiced, share of frames of equal voicing, frames with any difference."""
    cents, same, differing = [], [], 0
    for clip in clips:
        f0, voiced, _ = librosa_functions(search)["pyin"](clip)
        table = frame_table([clip], search)
        ours, ours_voiced = table["f0_hz"].to_numpy(), table["voiced"].to_numpy()
        both = voiced & ours_voiced
        cents.append(np.abs(1200 * np.log2(ours[both] / f0[both].astype(np.float32))))
        same.append(voiced == ours_voiced)
        differing += int((~same[-1]).sum() + (cents[-1] != 0).sum())
    return float(np.median(np.concatenate(cents))), float(np.concatenate(same).mean()), differing


def cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def sounds(seconds: float) -> Iterator[np.ndarray]:
    """Decoded recordings, until there are so many seconds of them."""
    left = round(seconds * RATE)
    for path in files():
        try:
            clip = decode(path)[:left]
        except AudioError:
            continue
        left -= len(clip)
        yield clip
        if left <= 0:
            return


def files() -> list[Path]:
    if folder := data_folder():
        suffixes = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".sph"}
        return sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.stat().st_size > 1e5)
    spec = importlib.util.find_spec("pyannote.audio")
    assert spec is not None
    assert spec.origin is not None
    return [Path(spec.origin).parent / "sample" / "sample.wav"]


if __name__ == "__main__":
    main()
