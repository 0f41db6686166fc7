"""What preparing speech costs and how right it is: WhisperX beside Nymph, then every stage of the way.

    python benchmarks/preparation.py [--rounds 3] [--quick]

Speed is text for text: stock WhisperX (its pyannote VAD, beam 5, no word times) and faster-whisper's batched pipeline
with its VAD against Nymph's transcriber without alignment and speakers, which the others do not do either; interleaved
rounds, medians, on one core by CPU seconds and on two by the clock. Word error rate is over the conversation that
pyannote.audio ships and every recording with a transcript below the folder NYMPH_BENCH_DATA, equal inputs for all.
Memory is measured by `preparation_memory.py`. The last line is JSON; `--quick` leaves the long recordings out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from inputs import data_folder
from preparation_memory import SAMPLE
from preparation_memory import figures as memory_figures

from nymph.audio.decode import decode
from nymph.audio.frames import frame_table
from nymph.audio.speaker import SpeakerEncoder
from nymph.features.utterances import describe_utterances
from nymph.reporting.corpus import looked_at_report
from nymph.reporting.references import find_references
from nymph.sentiment.classifier import load_classifier
from nymph.sentiment.score import score_texts
from nymph.transcription.comparison import Reference, Score, compare
from nymph.transcription.config import SAMPLE_RATE, TranscriptionConfig
from nymph.transcription.engine import load_transcriber
from nymph.transcription.models import OFFLINE_WHISPER, whisper_model
from nymph.transcription.quiet import quiet_loading
from nymph.transcription.scoring import word_error_rate
from nymph.transcription.segments import spoken_segments

ToText = Callable[[np.ndarray], str]
Costs = dict[str, dict[str, float]]
CORES = (1, 2)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--quick", action="store_true", help="leave the long recordings out")
    arguments.add_argument("--speed", type=int, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.speed:
        print(json.dumps(speed(options.speed, options.rounds)))
        return
    costs = {cores: speed_of_cores(cores, options.rounds) for cores in CORES}
    errors = word_errors()
    show(costs, errors)
    memory = {"peak_rss_mib_10h": None} if options.quick else memory_figures(10, 20)
    print(json.dumps(ratios(costs) | rates(errors) | stages() | memory))


def engines(threads: int) -> dict[str, ToText]:
    """What is compared, each on so many threads."""
    return {
        "WhisperX": whisperx_engine(threads),
        "faster-whisper": faster_whisper_engine(threads),
        "Nymph": nymph_engine(threads),
    }


def whisperx_engine(threads: int) -> ToText:
    """Stock WhisperX with its defaults."""
    with quiet_loading():
        import whisperx

        model = whisper_model(OFFLINE_WHISPER)
        pipeline = whisperx.load_model(model, "cpu", compute_type="int8", language="en", threads=threads)
    return lambda samples: " ".join(s["text"] for s in pipeline.transcribe(samples, batch_size=8)["segments"])


def faster_whisper_engine(threads: int) -> ToText:
    """faster-whisper's batched pipeline with its VAD."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(whisper_model(OFFLINE_WHISPER), device="cpu", compute_type="int8", cpu_threads=threads)
    pipeline = BatchedInferencePipeline(model)
    return lambda samples: " ".join(s.text for s in pipeline.transcribe(samples, language="en", batch_size=8)[0])


def nymph_engine(threads: int) -> ToText:
    """Nymph's transcriber, text alone."""
    transcriber = load_transcriber(
        TranscriptionConfig(device="cpu", threads=threads, alignment="none", speakers="none")
    )
    return lambda samples: " ".join(transcriber.transcribe(samples)["text"].to_pylist())


def speed_of_cores(cores: int, rounds: int) -> Costs:
    """`speed` in a process that has so many threads from its start."""
    command = [sys.executable, __file__, "--speed", str(cores), "--rounds", str(rounds)]
    environment = os.environ | {"OMP_NUM_THREADS": str(cores)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: Costs = json.loads(done.stdout.splitlines()[-1])
    return found


def speed(threads: int, rounds: int) -> Costs:
    """CPU seconds and seconds by the clock per hour of conversation, medians of interleaved rounds after one."""
    samples = np.tile(decode(SAMPLE), 4)
    hours = samples.size / SAMPLE_RATE / 3600
    compared = engines(threads)
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in compared}
    for _ in range(rounds):
        for name, engine in compared.items():
            clock = time.perf_counter()
            cpu = cpu_seconds(lambda engine=engine: engine(samples))
            costs[name].append((cpu, time.perf_counter() - clock))
    medians = {name: [statistics.median(part) / hours for part in zip(*c, strict=True)] for name, c in costs.items()}
    return {name: {"cpu": cpu, "clock": clock} for name, (cpu, clock) in medians.items()}


def word_errors() -> dict[str, float]:
    """Word error rate of each engine over the conversation and the user's recordings."""
    pairs = [(decode(reference.recording), reference.text) for reference in references() if reference.text]
    texts = [text for _, text in pairs]
    return {
        name: word_error_rate([engine(samples) for samples, _ in pairs], texts) for name, engine in engines(1).items()
    }


def references() -> list[Reference]:
    """The conversation, and what NYMPH_BENCH_DATA holds."""
    folder = data_folder()
    return find_references(SAMPLE.parent) + (find_references(folder) if folder else [])


def show(costs: dict[int, Costs], errors: dict[str, float]) -> None:
    heads = [f"{kind} s per hour, {cores}" for cores in CORES for kind in ("CPU", "clock")]
    print(f"{'':16}" + "".join(f"{head:>22}" for head in heads) + f"{'word error rate':>18}")
    for name, error in errors.items():
        cells = [costs[cores][name][kind] for cores in CORES for kind in ("cpu", "clock")]
        print(f"{name:16}" + "".join(f"{cell:22.0f}" for cell in cells) + f"{error:18.4f}")


def ratios(costs: dict[int, Costs]) -> dict[str, float]:
    """How many times faster Nymph is: by CPU seconds on one core, by the clock on two."""
    return {
        f"transcription_vs_{peer}{suffix}": round(costs[cores][name][kind] / costs[cores]["Nymph"][kind], 2)
        for peer, name in (("whisperx", "WhisperX"), ("faster_whisper", "faster-whisper"))
        for cores, kind, suffix in ((1, "cpu", ""), (2, "clock", "_2_cores"))
    }


def rates(errors: dict[str, float]) -> dict[str, float]:
    """Word error rates as figures."""
    return {
        "wer": round(errors["Nymph"], 4),
        "wer_whisperx": round(errors["WhisperX"], 4),
        "wer_faster_whisper": round(errors["faster-whisper"], 4),
    }


def stages() -> dict[str, float]:
    """Real-time factors of each stage with its defaults on one thread, and errors of times and speakers."""
    seconds = decode(SAMPLE).size / SAMPLE_RATE
    transcriber = load_transcriber(TranscriptionConfig(device="cpu", threads=1))
    said = spoken_segments("sample", transcriber.transcribe(SAMPLE))
    classifier, encoder = load_classifier(device="cpu"), SpeakerEncoder.load()
    frames = frame_table(SAMPLE)
    work: dict[str, Callable[[], object]] = {
        "rtf_ingestion": lambda: looked_at_report(SAMPLE),
        "rtf_transcription": lambda: transcriber.transcribe(SAMPLE),
        "rtf_frames": lambda: frame_table(SAMPLE),
        "rtf_utterances": lambda: describe_utterances(said, frames, [decode(SAMPLE)], encoder),
        "rtf_sentiment": lambda: score_texts(classifier, said["text"].to_pylist()),
    }
    for each in work.values():
        each()
    factors = {name: cpu_seconds(each) / seconds for name, each in work.items()}
    factors["rtf_features"] = factors.pop("rtf_frames") + factors.pop("rtf_utterances")
    return reference_errors(said.to_pylist()) | {name: round(factor, 5) for name, factor in factors.items()}


def reference_errors(rows: list[dict[str, object]]) -> dict[str, float]:
    """Distance of word times from the reference's turn boundaries, and the diarization error rate."""
    *_, (_, score) = compare(find_references(SAMPLE.parent), lambda place: rows)
    assert isinstance(score, Score)
    return {
        "alignment_median_ms": round(score.alignment_median_ms or float("nan"), 1),
        "der": round(score.diarization_error_rate or float("nan"), 4),
    }


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
