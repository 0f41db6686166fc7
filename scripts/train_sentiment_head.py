"""Train the head of the offline sentiment classifier, and score it beside VADER on sentences neither has seen.

    python scripts/train_sentiment_head.py [--sdist vaderSentiment-3.3.2.tar.gz] [--head FOLDER]

Data: the 23,703 sentences (tweets, film and product reviews, editorials) that ship in VADER's source distribution, each
rated from -4 to 4 by twenty people (Hutto and Gilbert, ICWSM 2014, MIT licence). Training is convex (logistic
regression on frozen sentence features, L-BFGS), so the same data give the same head. About five CPU minutes.
"""

import argparse
import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer

from nymph.files import write_json
from nymph.sentiment.minilm import HEAD, LABELS, LayerMeanClassifier, build_classifier, encoder_folder
from nymph.tensors import save_tensors

SDIST = "vaderSentiment==3.3.2"
NEUTRAL = 0.5
"""A sentence whose mean rating lies strictly between -0.5 and 0.5 is neutral."""
VADER_NEUTRAL = 0.05
"""VADER's own threshold on its compound score."""
HELD_OUT = 5
"""One sentence in five of each source and class is held out."""
DECAYS = (1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Rated:
    """A sentence, its mean rating (-4..4) and where it is from."""

    source: str
    text: str
    rating: float

    @property
    def label(self) -> int:
        """Index into `LABELS`."""
        return 0 if self.rating <= -NEUTRAL else 2 if self.rating >= NEUTRAL else 1

    @property
    def digest(self) -> str:
        """What decides on which side of a split the sentence falls."""
        return hashlib.sha256(" ".join(self.text.lower().split()).encode()).hexdigest()


def main() -> None:
    """Download, train, score, write."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--sdist", type=Path, help="a vaderSentiment sdist; downloaded with pip when left out")
    arguments.add_argument("--head", type=Path, default=HEAD, help="folder to write")
    options = arguments.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        sdist = options.sdist or download(Path(folder))
        sentences = read_sentences(sdist)
        vader = vader_scores(sdist, Path(folder), [sentence.text for sentence in sentences])
    held = held_out(sentences)
    classifier = build_classifier(head=None)
    features = embed(classifier, [sentence.text for sentence in sentences])
    labels = torch.tensor([sentence.label for sentence in sentences])
    decay = choose_decay(features, labels, sentences, ~held)
    weight, bias = fit(features[~held], labels[~held], decay)
    weight, bias = weight.half(), bias.half()
    probabilities = (features[held] @ weight.float().T + bias.float()).softmax(-1).numpy()
    ratings = np.array([sentence.rating for sentence in sentences])[held]
    truth = labels[held].numpy()
    report = {
        "labels": LABELS,
        "data": f"{SDIST} sdist, hutto_ICWSM_2014",
        "neutral_below": NEUTRAL,
        "weight_decay": decay,
        "sentences": {"trained": int((~held).sum()), "held_out": int(held.sum())},
        "held_out": scores(probabilities.argmax(1), probabilities[:, 2] - probabilities[:, 0], truth, ratings),
        "vader_held_out": scores(vader_labels(vader[held]), vader[held], truth, ratings),
        "majority_held_out": float(np.bincount(truth).max() / truth.size),
    }
    save_tensors(options.head / "head.safetensors", {"weight": weight, "bias": bias})
    write_json(options.head / "head.json", report)
    print_report(report)


def download(folder: Path) -> Path:
    """Fetch VADER's source distribution with pip; the wheel lacks the rated sentences."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps", SDIST]
    subprocess.run([*command, "--dest", str(folder)], check=True)
    return next(folder.glob("vader*.tar.gz"))


def read_sentences(sdist: Path) -> list[Rated]:
    """The rated sentences, each text once, in a fixed order."""
    seen: dict[str, Rated] = {}
    for source, line in ground_truth(sdist):
        _, rating, text = line.split("\t", 2)
        sentence = Rated(source, text.strip(), float(rating))
        seen.setdefault(sentence.digest, sentence)
    return [seen[digest] for digest in sorted(seen)]


def ground_truth(sdist: Path) -> Iterator[tuple[str, str]]:
    """(source, line) of each `*_GroundTruth.txt` in the archive inside the archive."""
    with tarfile.open(sdist) as outer:
        inner = next(name for name in outer.getnames() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        data = outer.extractfile(inner)
        assert data is not None
        with tarfile.open(fileobj=io.BytesIO(data.read())) as archive:
            for name in sorted(n for n in archive.getnames() if n.endswith("_GroundTruth.txt")):
                file = archive.extractfile(name)
                assert file is not None
                for line in file.read().decode("utf-8").splitlines():
                    yield Path(name).stem.removesuffix("_GroundTruth"), line


def held_out(sentences: Sequence[Rated]) -> np.ndarray:
    """Which sentences are held out [n]: every fifth by digest within each source and class."""
    held = np.zeros(len(sentences), bool)
    strata: dict[tuple[str, int], list[int]] = {}
    for index in sorted(range(len(sentences)), key=lambda i: sentences[i].digest):
        strata.setdefault((sentences[index].source, sentences[index].label), []).append(index)
    for members in strata.values():
        held[members[::HELD_OUT]] = True
    return held


@torch.inference_mode()
def embed(model: LayerMeanClassifier, texts: Sequence[str], batch: int = 128) -> Tensor:
    """What the head sees of each text, [n, layers * hidden] float32; similar lengths share a batch."""
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder(), local_files_only=True)
    features = torch.zeros(len(texts), model.classifier.in_features)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        encoded = tokenizer(
            [texts[i] for i in part], padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        features[part] = model.embed(**encoded)
        print(f"\rembedding {start + len(part)}/{len(order)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return features


def choose_decay(features: Tensor, labels: Tensor, sentences: Sequence[Rated], train: np.ndarray) -> float:
    """The weight decay that does best on a fifth of the training sentences."""
    inner = np.array([int(sentence.digest[-8:], 16) % HELD_OUT == 0 for sentence in sentences])
    fitted, judged = train & ~inner, train & inner
    accuracy = {}
    for decay in DECAYS:
        weight, bias = fit(features[fitted], labels[fitted], decay)
        right = (features[judged] @ weight.T + bias).argmax(-1) == labels[judged]
        accuracy[decay] = float(right.float().mean())
        print(f"weight decay {decay:g}: accuracy {accuracy[decay]:.4f} on a fifth of the training sentences")
    return max(accuracy, key=lambda decay: accuracy[decay])


def fit(features: Tensor, labels: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression on standardised features; the standardisation is folded into the weights."""
    mean, scale = features.mean(0), features.std(0) + 1e-6
    inputs = (features - mean) / scale
    weight = torch.zeros(len(LABELS), inputs.shape[1], requires_grad=True)
    bias = torch.zeros(len(LABELS), requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(inputs @ weight.T + bias, labels) + decay * weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    folded = weight.detach() / scale
    return folded, bias.detach() - folded @ mean


def vader_scores(sdist: Path, folder: Path, texts: Sequence[str]) -> np.ndarray:
    """VADER's compound score of each text, -1..1, by the code of the same source distribution."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "vader", filter="data")
    path = next((folder / "vader").glob("*/vaderSentiment/vaderSentiment.py"))
    spec = importlib.util.spec_from_file_location("vader", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    analyser = module.SentimentIntensityAnalyzer(str(path.with_name("vader_lexicon.txt")))
    return np.array([analyser.polarity_scores(text)["compound"] for text in texts])


def vader_labels(compound: np.ndarray) -> np.ndarray:
    """VADER's classes by its authors' thresholds."""
    return np.digitize(compound, [-VADER_NEUTRAL, VADER_NEUTRAL])


def scores(predicted: np.ndarray, valence: np.ndarray, truth: np.ndarray, ratings: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-averaged F1, and Pearson's correlation of the signed score with the mean rating."""
    f1 = [
        2 * ((predicted == k) & (truth == k)).sum() / ((predicted == k).sum() + (truth == k).sum())
        for k in range(len(LABELS))
    ]
    return {
        "accuracy": round(float((predicted == truth).mean()), 4),
        "macro_f1": round(float(np.mean(f1)), 4),
        "correlation": round(float(np.corrcoef(valence, ratings)[0, 1]), 4),
    }


def print_report(report: dict[str, Any]) -> None:
    """The held-out scores, head beside VADER."""
    print(f"held-out sentences: {report['sentences']['held_out']}, majority class {report['majority_held_out']:.4f}")
    print(f"{'':12}{'head':>8}{'VADER':>8}")
    for name, value in report["held_out"].items():
        print(f"{name:12}{value:8.4f}{report['vader_held_out'][name]:8.4f}")


if __name__ == "__main__":
    main()
