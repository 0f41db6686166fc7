"""How good is the trained model on rows it never saw, and does it use every modality?"""

from pathlib import Path
from typing import Any

from nymph.errors import NymphError
from nymph.pipelines.evaluation.options import EvaluationOptions
from nymph.text.tokenizer import Tokenizer


def evaluate_model(
    training: dict[str, Any], test_rows: str, tokenizer: Tokenizer, options: EvaluationOptions, runs: Path
) -> dict[str, Any]:
    """Losses on the test rows, the same with each modality withheld, and generated continuations."""
    from nymph.pipelines.evaluation.measure import measure_model  # torch, which a run of other stages does without

    if not training.get("checkpoint"):
        raise NymphError("there is no checkpoint to evaluate; run the training pipeline first")
    return measure_model(training, test_rows, tokenizer, options, runs)
