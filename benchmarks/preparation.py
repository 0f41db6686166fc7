"""What preparing speech costs and how right it is: WhisperX beside Nymph, then every stage of the way.

    OMP_NUM_THREADS=1 python benchmarks/preparation.py [--data FOLDER] [--rounds 3] [--hours 10] [--memory]

Speed is text for text: stock WhisperX (its pyannote VAD, beam 5, no word times) and faster-whisper's batched pipeline
against Nymph's transcriber without alignment and speakers, which WhisperX does not do either; interleaved rounds,
medians of CPU seconds, one thread. Word error rate is over the conversation that pyannote.audio ships and the clips of
`--data` (a `transcripts.jsonl` of audio and text beside its files), equal inputs for all. The long recording is FLAC,
silence with the conversation every half hour. The last line is JSON.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from nymph.audio.decode import decode, decode_blocks
from nymph.audio.frames import FRAME_SCHEMA, extract_frames, frame_table
from nymph.audio.speaker import SpeakerEncoder
from nymph.features.utterances import describe_utterances
from nymph.files import sha256_file
from nymph.parquet import read_parquet, write_parquet
from nymph.sentiment.classifier import load_classifier
from nymph.sentiment.score import score_texts
from nymph.transcription.config import SAMPLE_RATE, TranscriptionConfig
from nymph.transcription.engine import load_transcriber
from nymph.transcription.models import OFFLINE_WHISPER, packaged_file, whisper_model
from nymph.transcription.quiet import quiet_loading, quiet_warnings
from nymph.transcription.scoring import (
    Turn,
    boundary_errors,
    diarization_error_rate,
    read_rttm,
    read_stm,
    word_error_rate,
)
from nymph.transcription.segments import SEGMENT_SCHEMA, spoken_segments

SAMPLE = packaged_file("pyannote", "audio", "sample", "sample.wav")
Samples = np.ndarray
ToText = Callable[[Samples], str]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, help="folder with transcripts.jsonl")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--hours", type=float, default=10.0, help="length of the long recording; 0 leaves it out")
    arguments.add_argument("--long", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--stage", help=argparse.SUPPRESS)
    arguments.add_argument("--memory", action="store_true", help="measure the long recording alone")
    options = arguments.parse_args()
    if options.long:
        measure_memory(options.stage, options.long)
        return
    if options.memory:
        print(json.dumps({"hours": options.hours, "peak_rss_mib": long_recording(options.hours)}))
        return
    engines = {"WhisperX": whisperx_engine(), "faster-whisper": faster_whisper_engine(), "Nymph": nymph_engine()}
    costs = speed(engines, options.rounds)
    errors = accuracy(engines, options.data)
    print(f"{'':16}{'CPU s per hour':>16}{'word error rate':>18}")
    for name in engines:
        print(f"{name:16}{costs[name]:16.0f}{errors[name]:18.4f}")
    figures = {
        "transcription_vs_whisperx": round(costs["WhisperX"] / costs["Nymph"], 2),
        "transcription_vs_faster_whisper": round(costs["faster-whisper"] / costs["Nymph"], 2),
        "wer": round(errors["Nymph"], 4),
        "wer_whisperx": round(errors["WhisperX"], 4),
        **stages(),
        "peak_rss_mib_10h": max(long_recording(options.hours).values()) if options.hours == 10 else None,
    }
    print(json.dumps(figures))


def whisperx_engine() -> ToText:
    """Stock WhisperX with its defaults."""
    with quiet_loading():
        import whisperx

        model = whisper_model(OFFLINE_WHISPER)
        pipeline = whisperx.load_model(model, "cpu", compute_type="int8", language="en", threads=1)
    return lambda samples: " ".join(s["text"] for s in pipeline.transcribe(samples, batch_size=8)["segments"])


def faster_whisper_engine() -> ToText:
    """faster-whisper's batched pipeline with its VAD."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(whisper_model(OFFLINE_WHISPER), device="cpu", compute_type="int8", cpu_threads=1)
    pipeline = BatchedInferencePipeline(model)
    return lambda samples: " ".join(s.text for s in pipeline.transcribe(samples, language="en", batch_size=8)[0])


def nymph_engine() -> ToText:
    """Nymph's transcriber, text alone."""
    config = TranscriptionConfig(device="cpu", threads=1, alignment="none", speakers="none")
    transcriber = load_transcriber(config)
    return lambda samples: " ".join(transcriber.transcribe(samples)["text"].to_pylist())


def speed(engines: dict[str, ToText], rounds: int) -> dict[str, float]:
    """CPU seconds per hour of conversation, medians of interleaved rounds."""
    samples = np.tile(decode(SAMPLE), 4)
    costs: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            costs[name].append(cpu_seconds(lambda engine=engine: engine(samples)))
    hours = samples.size / SAMPLE_RATE / 3600
    return {name: statistics.median(values) / hours for name, values in costs.items()}


def accuracy(engines: dict[str, ToText], data: Path | None) -> dict[str, float]:
    """Word error rate of each engine over the conversation and the clips of `data`."""
    pairs = [(decode(SAMPLE), " ".join(turn.text for turn in read_stm(SAMPLE.with_suffix(".stm"))))]
    if data:
        lines = [json.loads(line) for line in (data / "transcripts.jsonl").read_text("utf-8").splitlines()]
        pairs += [(decode(data / line["audio"]), line["text"]) for line in lines if line["text"]]
    references = [text for _, text in pairs]
    return {
        name: word_error_rate([engine(samples) for samples, _ in pairs], references) for name, engine in engines.items()
    }


def stages() -> dict[str, float]:
    """Real-time factors of each stage with its defaults on one thread, and errors of times and speakers."""
    seconds = decode(SAMPLE).size / SAMPLE_RATE
    transcriber = load_transcriber(TranscriptionConfig(device="cpu", threads=1))
    table = transcriber.transcribe(SAMPLE)
    classifier = load_classifier(device="cpu")
    texts = table["text"].to_pylist()
    score_texts(classifier, texts)
    frame_table(SAMPLE)
    costs = {
        "rtf_ingestion": cpu_seconds(lambda: (sha256_file(SAMPLE), decode(SAMPLE))),
        "rtf_transcription": cpu_seconds(lambda: transcriber.transcribe(SAMPLE)),
        "rtf_features": cpu_seconds(lambda: frame_table(SAMPLE)),
        "rtf_sentiment": cpu_seconds(lambda: score_texts(classifier, texts)),
    }
    return {**reference_errors(table.to_pylist()), **{name: round(cpu / seconds, 5) for name, cpu in costs.items()}}


def reference_errors(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Distance of word times from the reference's turn boundaries, and the diarization error rate."""
    turns = read_stm(SAMPLE.with_suffix(".stm"))
    words = [word for row in rows for word in row["words"]]
    starts = boundary_errors([word["start"] for word in words], [turn.start for turn in turns])
    ends = boundary_errors([word["end"] for word in words], [turn.end for turn in turns])
    said = [Turn(row["speaker"], row["start"], row["end"]) for row in rows]
    with quiet_warnings():
        der = diarization_error_rate(said, read_rttm(SAMPLE.with_suffix(".rttm")))
    return {
        "alignment_median_ms": round(1000 * float(np.median(np.concatenate([starts, ends]))), 1),
        "der": round(der, 4),
    }


def long_recording(hours: float) -> dict[str, float]:
    """Peak resident memory in MiB of each stage, in a process of its own, over a recording of so many hours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.flac")
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
            for piece in long_pieces(hours):
                file.write(piece)
        return {name: peak_mib(name, path) for name in STAGES}


def peak_mib(stage: str, path: Path) -> float:
    """Peak resident memory in MiB of a process that takes one recording through one stage."""
    command = [sys.executable, __file__, "--long", str(path), "--stage", stage]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(f"{stage}: {done.stdout.strip()}", flush=True)
    return float(done.stdout.split()[-1])


def long_pieces(hours: float) -> Iterator[Samples]:
    """Half hours of silence, each begun by the conversation."""
    conversation = decode(SAMPLE)
    silence = np.zeros(60 * SAMPLE_RATE, np.float32)
    for _ in range(round(hours * 2)):
        yield conversation
        yield from [silence] * 29
        yield silence[conversation.size :]


def transcribe_long(path: Path) -> None:
    """Transcription, its rows beside the recording."""
    table = load_transcriber(TranscriptionConfig(device="cpu", threads=1)).transcribe(path)
    write_parquet(path.with_suffix(".said"), SEGMENT_SCHEMA, [spoken_segments("long", table)])


def extract_long(path: Path) -> None:
    """Frames, streamed to a file beside the recording."""
    write_parquet(path.with_suffix(".frames"), FRAME_SCHEMA, extract_frames(path))


def describe_long(path: Path) -> None:
    """Utterance features from both."""
    said = read_parquet(path.with_suffix(".said"), ["recording", "index", "start", "end", "words"])
    pitch = read_parquet(path.with_suffix(".frames"), ["f0_hz", "voiced", "energy_db"])
    describe_utterances(said, pitch, decode_blocks(path), SpeakerEncoder.load())


def judge_long(path: Path) -> None:
    """Sentiment of every utterance."""
    score_texts(load_classifier(device="cpu"), read_parquet(path.with_suffix(".said"))["text"].to_pylist())


STAGES = {
    "transcription": transcribe_long,
    "frames": extract_long,
    "utterance features": describe_long,
    "sentiment": judge_long,
}


def measure_memory(stage: str, path: Path) -> None:
    """Take one recording through one stage and print this process's CPU seconds and peak resident memory in MiB."""
    cost = cpu_seconds(lambda: STAGES[stage](path))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"CPU seconds {cost:.0f}, peak MiB: {peak:.0f}")


def cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
