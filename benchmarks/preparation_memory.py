"""Memory of every preparation stage over long recordings, each stage in a process of its own.

    OMP_NUM_THREADS=1 python benchmarks/preparation_memory.py [--hours 10] [--minutes 20]

Two recordings: `--hours` of FLAC in which a conversation of 30 s begins every half hour, and `--minutes` of that
conversation without a pause, measured at half and at full length. Whoever transcribes ten dense hours pays for hours
of CPU; the difference between the two lengths says what those ten hours would hold. The last line is JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from nymph.audio.decode import decode, decode_blocks
from nymph.audio.frames import FRAME_SCHEMA, extract_frames
from nymph.audio.speaker import SpeakerEncoder
from nymph.features.utterances import describe_utterances
from nymph.parquet import read_parquet, write_parquet
from nymph.reporting.corpus import looked_at_report
from nymph.sentiment.classifier import load_classifier
from nymph.sentiment.score import score_texts
from nymph.transcription.config import SAMPLE_RATE, TranscriptionConfig
from nymph.transcription.engine import load_transcriber
from nymph.transcription.models import packaged_file
from nymph.transcription.segments import SEGMENT_SCHEMA, spoken_segments

SAMPLE = packaged_file("pyannote", "audio", "sample", "sample.wav")
TEN_HOURS = 600
"""Minutes."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--hours", type=float, default=10.0, help="length of the sparse recording")
    arguments.add_argument("--minutes", type=float, default=20.0, help="length of the dense recording")
    arguments.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.stage:
        measure_stage(options.stage[0], Path(options.stage[1]))
    else:
        print(json.dumps(figures(options.hours, options.minutes)))


def figures(hours: float, minutes: float) -> dict[str, float]:
    """Largest peaks over all stages in MiB: of the sparse recording, and of ten dense hours by the slope."""
    print(f"{hours:g} hours, a conversation every half hour:", flush=True)
    sparse = peaks(sparse_pieces(hours))
    print(f"{minutes / 2:g} and {minutes:g} minutes without a pause:", flush=True)
    half, whole = peaks(dense_pieces(minutes / 2)), peaks(dense_pieces(minutes))
    slopes = {name: (whole[name] - half[name]) / (minutes / 2) for name in STAGES}
    dense = {name: whole[name] + max(0.0, slopes[name]) * (TEN_HOURS - minutes) for name in STAGES}
    for name in STAGES:
        print(f"{name:20} {slopes[name]:8.2f} MiB a dense minute, {dense[name]:8.0f} MiB at ten hours")
    suffix = f"{hours:g}h"
    return {f"peak_rss_mib_{suffix}": max(sparse.values()), "peak_rss_mib_10h_dense": round(max(dense.values()))}


def peaks(pieces: Iterator[np.ndarray]) -> dict[str, float]:
    """Peak resident memory in MiB of each stage over one recording."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.flac")
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
            for piece in pieces:
                file.write(piece)
        return {name: peak_mib(name, path) for name in STAGES}


def peak_mib(stage: str, path: Path) -> float:
    """Peak resident memory in MiB of a process that takes one recording through one stage."""
    command = [sys.executable, __file__, "--stage", stage, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(f"  {stage}: {done.stdout.splitlines()[-1]}", flush=True)
    return float(done.stdout.split()[-1])


def sparse_pieces(hours: float) -> Iterator[np.ndarray]:
    """Half hours of silence, each begun by the conversation."""
    conversation = decode(SAMPLE)
    silence = np.zeros(60 * SAMPLE_RATE, np.float32)
    for _ in range(round(hours * 2)):
        yield conversation
        yield from [silence] * 29
        yield silence[conversation.size :]


def dense_pieces(minutes: float) -> Iterator[np.ndarray]:
    """The conversation again and again."""
    conversation = decode(SAMPLE)
    yield from [conversation] * round(minutes * 60 * SAMPLE_RATE / conversation.size)


def ingest(path: Path) -> None:
    """Hash, header, and the figures of the sound."""
    looked_at_report(path)


def transcribe(path: Path) -> None:
    """Transcription, its rows beside the recording."""
    table = load_transcriber(TranscriptionConfig(device="cpu", threads=1)).transcribe(path)
    write_parquet(path.with_suffix(".said"), SEGMENT_SCHEMA, [spoken_segments("long", table)])


def extract(path: Path) -> None:
    """Frames, streamed to a file beside the recording."""
    write_parquet(path.with_suffix(".frames"), FRAME_SCHEMA, extract_frames(path))


def describe(path: Path) -> None:
    """Utterance features from both."""
    said = read_parquet(path.with_suffix(".said"), ["recording", "index", "start", "end", "words"])
    pitch = read_parquet(path.with_suffix(".frames"), ["f0_hz", "voiced", "energy_db"])
    describe_utterances(said, pitch, decode_blocks(path), SpeakerEncoder.load())


def judge(path: Path) -> None:
    """Sentiment of every utterance."""
    score_texts(load_classifier(device="cpu"), read_parquet(path.with_suffix(".said"))["text"].to_pylist())


STAGES = {
    "ingestion": ingest,
    "transcription": transcribe,
    "frames": extract,
    "utterance features": describe,
    "sentiment": judge,
}


def measure_stage(stage: str, path: Path) -> None:
    """Take one recording through one stage and print this process's CPU seconds and peak resident memory in MiB."""
    start = time.process_time()
    STAGES[stage](path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"CPU seconds {time.process_time() - start:.0f}, peak MiB: {peak:.0f}")


if __name__ == "__main__":
    main()
