"""utterances -> tokenizer."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.tokenizer.nodes import train_tokenizer


def create_pipeline(**_: object) -> Pipeline:
    """One node: byte-level BPE."""
    return Pipeline(
        [Node(train_tokenizer, inputs=["utterances", "params:tokenizer"], outputs="tokenizer", name="train_tokenizer")],
        tags="tokenizer",
    )
