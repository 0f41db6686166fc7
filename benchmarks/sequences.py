"""Tokenizing, packing and writing the same text: Nymph against Hugging Face `datasets`, in one process.

    OMP_NUM_THREADS=1 python benchmarks/sequences.py [--text FILE] [--copies 4] [--rounds 3] [--peers /tmp/nymph-text]

The peer is the recipe of transformers' `run_clm.py`: `map` with a batched fast tokenizer, `map` with `group_texts`,
`to_parquet`. It writes input_ids alone; Nymph writes all ten columns of its rows, with checksums. Both use the same
tokenizer, one process, one thread. Rounds are interleaved, figures are medians of CPU seconds. Peak memory is that of
a process of its own that only runs Nymph. `datasets` is installed in an environment of its own on top of this one
(`--peers`, made by the first run) unless it is installed here. Speech, which the peer knows nothing of, goes through
all tasks of the default mix with made frames: CPU seconds an hour of speech. The last line is JSON.
"""

import os

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from peers import run_again_with
from tokenizer import interleaved, read_texts

from nymph.sequences.mix import MixOptions
from nymph.sequences.packing import PackingOptions
from nymph.sequences.preparation import Corpus
from nymph.sequences.report import describe_rows
from nymph.sequences.splits import SplitOptions
from nymph.sequences.tasks import Task
from nymph.sequences.writer import ShardOptions
from nymph.text.tokenizer import Tokenizer, TokenizerOptions, train_tokenizer

CONTEXT_LENGTH = 2048


@dataclass(frozen=True)
class Options:
    """One text task, everything in the training split."""

    context_length: int = CONTEXT_LENGTH
    mix: MixOptions = field(default_factory=lambda: MixOptions({"continue": Task(kinds=("text",), prompt="")}))
    split: SplitOptions = field(default_factory=lambda: SplitOptions(1.0, 0.0, 0.0))
    packing: PackingOptions = field(default_factory=PackingOptions)
    shards: ShardOptions = field(default_factory=ShardOptions)


@dataclass(frozen=True)
class Utterances:
    """Texts as utterances of kind text, each a recording of its own."""

    texts: list[str]
    copies: int

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, text in enumerate(self.texts * self.copies):
            yield {
                "id": f"{number}:0",
                "recording": str(number),
                "kind": "text",
                "source": "text/benchmark.txt",
                "text": text,
            }


@dataclass(frozen=True)
class Speech:
    """Made utterances of ten words in four seconds, fifteen a recording of a minute; `frames` reads what it names."""

    minutes: int
    words: list[str]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in range(self.minutes * 15):
            said = [self.words[(number * 10 + k) % len(self.words)] for k in range(10)]
            start = number % 15 * 4.0
            words = [
                {"word": word, "start": start + k * 0.4, "end": start + k * 0.4 + 0.4} for k, word in enumerate(said)
            ]
            yield {
                "id": f"{number}",
                "recording": f"{number // 15}",
                "kind": "speech",
                "source": "audio/made.wav",
                "text": " ".join(said),
                "words": words,
                "speaker": "S",
                "speaker_vector": [0.0625] * 256,
                "prosody": {"f0_mean_hz": 100.0 + number % 90, "energy_db": -30.0, "rate_syllables_per_s": 4.0},
                "sentiment": {"label": "neutral"},
                "frames": {"file": "made", "start": round(start * 100), "stop": round(start * 100) + 400},
            }

    def frames(self, reference: Mapping[str, Any]) -> pa.Table:
        """Rows of one made minute of frames, whatever the recording."""
        return made_minute().slice(reference["start"], reference["stop"] - reference["start"])


@cache
def made_minute() -> pa.Table:
    random = np.random.default_rng(0)
    voiced = random.random(6000) < 0.6
    return pa.table(
        {
            "log_mel": pa.FixedSizeListArray.from_arrays(random.normal(size=6000 * 80).astype(np.float32), 80),
            "energy_db": random.normal(-30, 5, 6000).astype(np.float32),
            "f0_hz": np.where(voiced, 150.0, np.nan).astype(np.float32),
            "voiced": voiced,
        }
    )


def speech_seconds_per_hour(tokenizer: Tokenizer, texts: list[str], folder: Path, minutes: int = 20) -> float:
    """CPU seconds from an hour of utterances and frames to rows of every default task."""
    speech = Speech(minutes, " ".join(texts[:200]).split())
    corpus = Corpus(speech, tokenizer, speech.frames, Options(mix=MixOptions()), "benchmark")
    return interleaved({"speech": lambda: corpus.write("train", folder)}, 2)["speech"] * 60 / minutes


def write_with_nymph(utterances: Utterances, tokenizer: Tokenizer, folder: Path) -> None:
    Corpus(utterances, tokenizer, lambda reference: None, Options(), "benchmark").write("train", folder)


def write_with_datasets(utterances: Utterances, fast: Any, end: int, folder: Path) -> None:
    """`run_clm.py`: tokenize in batches, concatenate, cut into blocks, write Parquet."""
    from datasets import Dataset

    def tokenize(batch: dict[str, list[str]]) -> dict[str, Any]:
        return {"input_ids": [[*ids, end] for ids in fast(batch["text"], return_attention_mask=False)["input_ids"]]}

    def group_texts(batch: dict[str, list[list[int]]]) -> dict[str, Any]:
        joined = [token for ids in batch["input_ids"] for token in ids]
        total = len(joined) // CONTEXT_LENGTH * CONTEXT_LENGTH
        return {"input_ids": [joined[at : at + CONTEXT_LENGTH] for at in range(0, total, CONTEXT_LENGTH)]}

    texts = Dataset.from_dict({"text": utterances.texts * utterances.copies})
    tokens = texts.map(tokenize, batched=True, remove_columns=["text"], load_from_cache_file=False)
    blocks = tokens.map(group_texts, batched=True, load_from_cache_file=False)
    blocks.to_parquet(folder / "peer.parquet")


def peak_resident_mib() -> float:
    """The kernel's mark for this program alone; getrusage would report the parent's, were it larger."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peak_memory(chosen: argparse.Namespace) -> float:
    """MiB at most resident in a process that only writes the rows."""
    command = [sys.executable, __file__, "--memory", "--copies", str(chosen.copies)]
    command += ["--text", str(chosen.text)] if chosen.text else []
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.strip().splitlines()[-1])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir()) / "nymph-text")
    parser.add_argument("--memory", action="store_true", help="only write the rows and print the peak memory in MiB")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    if not chosen.memory:
        run_again_with("datasets", chosen.peers, ["datasets==5.0.1"])
    paragraphs = read_texts(chosen.text)
    texts = ["\n\n".join(paragraphs[at : at + 3]) for at in range(0, len(paragraphs), 3)]
    tokenizer = train_tokenizer(texts, TokenizerOptions(vocabulary_size=16_384))
    utterances = Utterances(texts, chosen.copies)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if chosen.memory:
            write_with_nymph(utterances, tokenizer, folder / "rows")
            print(peak_resident_mib())
            return
        compare(chosen, utterances, tokenizer, folder)


def compare(chosen: argparse.Namespace, utterances: Utterances, tokenizer: Tokenizer, folder: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    fast, end = tokenizer.to_transformers(), tokenizer.id("<|end_of_document|>")
    fast.model_max_length = 10**9
    seconds = interleaved(
        {
            "datasets, input_ids only": lambda: write_with_datasets(utterances, fast, end, folder),
            "nymph, all columns": lambda: write_with_nymph(utterances, tokenizer, folder / "rows"),
        },
        chosen.rounds,
    )
    speech = speech_seconds_per_hour(tokenizer, utterances.texts, folder / "speech")
    report = describe_rows(folder / "rows")
    positions = sum(report["positions"].values())
    print(f"{positions:,} tokens in {report['rows']:,} rows of {CONTEXT_LENGTH}")
    for name, value in seconds.items():
        speeds = f"{positions / value / 1e6:6.2f} Mtokens/CPU s {report['rows'] / value:8.0f} rows/CPU s"
        print(f"{name:26} {value:8.3f} CPU s {speeds}")
    print(f"speech, all tasks          {speech:8.3f} CPU s an hour of speech")
    figures = {
        "tokens_per_s_vs_datasets": round(seconds["datasets, input_ids only"] / seconds["nymph, all columns"], 2),
        "padding_waste": report["padding"],
        "peak_rss_mib": round(peak_memory(chosen), 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
