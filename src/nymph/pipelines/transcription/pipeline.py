"""recordings -> transcripts."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.transcription.nodes import transcribe_recordings


def create_pipeline(**_: object) -> Pipeline:
    """One node: WhisperX where no transcript was given."""
    return Pipeline(
        [
            Node(
                transcribe_recordings,
                inputs=["raw", "recordings", "transcriber", "params:compute"],
                outputs=["transcripts", "transcription_quarantine"],
                name="transcribe_recordings",
            )
        ],
        tags="transcription",
    )
