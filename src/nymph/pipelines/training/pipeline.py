"""sequences, tokenizer -> checkpoints, training_report."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.training.nodes import train_model


def create_pipeline(**_: object) -> Pipeline:
    """One node; it launches further processes itself where the options say so."""
    return Pipeline(
        [
            Node(
                train_model,
                inputs=[
                    *("sequences_train", "sequences_validation", "tokenizer"),
                    *("params:training", "runs", "checkpoints"),
                ],
                outputs="training_report",
                name="train_model",
            )
        ],
        tags="training",
    )
