"""checkpoints, sequences -> evaluation_report."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.evaluation.nodes import evaluate_model


def create_pipeline(**_: object) -> Pipeline:
    """One node: losses, ablations, samples."""
    return Pipeline(
        [
            Node(
                evaluate_model,
                inputs=["training_report", "sequences_test", "tokenizer", "params:evaluation", "runs"],
                outputs="evaluation_report",
                name="evaluate_model",
            )
        ],
        tags="evaluation",
    )
