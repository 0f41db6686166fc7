"""Any Hugging Face text classifier as a `transformers` pipeline, the offline one included.

Weights are read from safetensors only: nothing is unpickled and no code from a hub runs, so a model that has neither
is refused. That leaves out a few old hub models; their authors' `safetensors` conversions work.
"""

from typing import TYPE_CHECKING, Any

from nymph.errors import NymphError
from nymph.sentiment.labels import OFFLINE_CLASSIFIER

if TYPE_CHECKING:
    from transformers import TextClassificationPipeline


def load_classifier(
    model: str = OFFLINE_CLASSIFIER, device: str = "auto", batch_size: int = 32
) -> "TextClassificationPipeline":
    """A text-classification pipeline that gives every label's score for each text.

    Args:
        model: `offline-minilm`, a folder, or a hub id of any sequence classifier.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:1`.
        batch_size: Texts per forward pass.

    Raises:
        NymphError: The model is not there, is no text classifier, or holds no safetensors weights.
    """
    from transformers import TextClassificationPipeline
    from transformers.utils import logging

    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # a pipeline announces its device as a warning
    try:
        network, tokenizer = _offline() if model == OFFLINE_CLASSIFIER else _pretrained(model)
        return TextClassificationPipeline(
            model=network,
            tokenizer=tokenizer,
            device=_device(device),
            batch_size=batch_size,
            top_k=None,
            framework="pt",
        )
    finally:
        logging.set_verbosity(verbosity)


def _offline() -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    from nymph.sentiment.minilm import build_classifier, encoder_folder

    folder = encoder_folder()
    return build_classifier(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _pretrained(model: str) -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        network = AutoModelForSequenceClassification.from_pretrained(model, use_safetensors=True)
        return network.eval(), AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise NymphError(
            f"expected a text classifier with safetensors weights, got {model!r}: {reason}. "
            f"Use {OFFLINE_CLASSIFIER!r}, a folder, or a hub id that this machine can reach"
        ) from error


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise NymphError(f"expected a CUDA device for sentiment, got {wanted!r} and found none: use 'auto' or 'cpu'")
    return wanted
