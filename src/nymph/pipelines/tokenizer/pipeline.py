"""utterances, frames -> tokenizer, audio units."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.tokenizer.nodes import (
    check_tokenizer_options,
    fit_audio_units,
    report_fertility,
    train_tokenizer,
)


def create_pipeline(**_: object) -> Pipeline:
    """Check before anything runs; then byte-level BPE, a codebook of sounds, and how well the vocabulary fits."""
    return Pipeline(
        [
            Node(
                check_tokenizer_options,
                inputs=["params:tokenizer", "sentiment_classifier"],
                outputs=None,
                name="check_tokenizer_options",
            ),
            Node(
                train_tokenizer, inputs=["utterances", "params:tokenizer"], outputs="tokenizer", name="train_tokenizer"
            ),
            Node(
                fit_audio_units,
                inputs=["utterances", "frames", "params:tokenizer", "params:parquet"],
                outputs="audio_codebook",
                name="fit_audio_units",
            ),
            Node(
                report_fertility,
                inputs=["utterances", "tokenizer"],
                outputs="tokenizer_report",
                name="report_fertility",
            ),
        ],
        tags="tokenizer",
    )
