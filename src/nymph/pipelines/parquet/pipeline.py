"""utterances, frames, tokenizer, audio units, states of speech -> sequences."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.parquet.nodes import describe_sequences, draw_sequences, pack_sequences, publish_tokenizer

ROWS = ["sequences_train", "sequences_validation", "sequences_test"]


def create_pipeline(**_: object) -> Pipeline:
    """Pack, describe, draw, and put the tokenizer beside the rows."""
    return Pipeline(
        [
            Node(
                pack_sequences,
                inputs=["utterances", "frames", "speech_states", "tokenizer", "audio_codebook", "params:parquet"],
                outputs=ROWS,
                name="pack_sequences",
            ),
            Node(describe_sequences, inputs=ROWS, outputs="parquet_report", name="describe_sequences"),
            Node(
                draw_sequences,
                inputs=["sequences_train", "tokenizer"],
                outputs="sequences_picture",
                name="draw_sequences",
            ),
            Node(publish_tokenizer, inputs="tokenizer", outputs="sequences_tokenizer", name="publish_tokenizer"),
        ],
        tags="parquet",
    )
