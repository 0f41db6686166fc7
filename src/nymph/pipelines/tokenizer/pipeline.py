"""utterances, frames, recordings -> tokenizer, audio units."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.tokenizer.nodes import (
    check_tokenizer_options,
    encode_speech,
    fit_audio_units,
    report_fertility,
    train_tokenizer,
)


def create_pipeline(**_: object) -> Pipeline:
    """Check before anything runs; then byte-level BPE, a codebook of sounds, and how well the vocabulary fits.

    The encoder is asked only where units are to stand for its states.
    """
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
                encode_speech,
                inputs=["raw", "recordings", "speech_encoder", "params:tokenizer", "params:compute"],
                outputs=["speech_states", "speech_states_quarantine"],
                name="encode_speech",
            ),
            Node(
                fit_audio_units,
                inputs=["utterances", "frames", "speech_states", "params:tokenizer", "params:parquet"],
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
