"""Training and encoding against the `tokenizers` library, in one process.

    OMP_NUM_THREADS=1 python benchmarks/tokenizer.py [--text FILE] [--vocabulary 16384] [--rounds 5]

A paragraph is a string. Without a file the text is that of NYMPH_BENCH_DATA, or Python's own docstrings. Rounds are
interleaved and figures are medians of CPU seconds, so that a busy machine slows both sides alike. The last line is
JSON; above 1, Nymph is the faster.
"""

import os

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from inputs import text_of
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from nymph.text.tokenizer import TokenizerOptions, train_tokenizer
from nymph.text.training import PATTERN


def read_texts(path: Path | None) -> list[str]:
    """Paragraphs of a file, or of what `inputs` finds."""
    return text_of(path).split("\n\n")


def train_peer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE by `tokenizers` alone, as its documentation does it, with the same split."""
    peer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    peer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    peer.train_from_iterator(texts, trainer)
    return peer


def interleaved(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each run, one of each in every round; the first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if number:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--vocabulary", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    texts = read_texts(chosen.text)
    column, size = pa.array(texts), sum(len(text.encode()) for text in texts) / 1e6
    options = TokenizerOptions(vocabulary_size=chosen.vocabulary)
    nymph = train_tokenizer(texts, options)
    peer = nymph.backend

    training: dict[str, Callable[[], Any]] = {
        "train, tokenizers": lambda: train_peer(texts, chosen.vocabulary),
        "train, nymph": lambda: train_tokenizer(texts, options),
    }
    encoding: dict[str, Callable[[], Any]] = {
        "encode, tokenizers encode_batch": lambda: peer.encode_batch(texts),
        "encode, nymph to Arrow": lambda: nymph.encode_column(column),
    }
    seconds = interleaved(training, chosen.rounds) | interleaved(encoding, chosen.rounds)
    ids = nymph.encode_column(column)
    equal = ids.to_pylist() == [encoding.ids for encoding in peer.encode_batch(texts)]
    print(f"{len(texts):,} texts, {size:.2f} MB, {nymph.size:,} ids, encoder {type(nymph._encoder).__name__}")
    for name, value in seconds.items():
        print(f"{name:34} {value:8.3f} CPU s {size / value:8.2f} MB/CPU s")
    figures = {
        "train_vs_tokenizers": round(seconds["train, tokenizers"] / seconds["train, nymph"], 2),
        "encode_vs_tokenizers": round(
            seconds["encode, tokenizers encode_batch"] / seconds["encode, nymph to Arrow"], 2
        ),
        "ids_equal": equal,
        "bytes_per_token": round(size * 1e6 / len(ids.values), 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
