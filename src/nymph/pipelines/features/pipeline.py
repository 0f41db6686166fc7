"""recordings, transcripts -> frames, utterance_features."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.features.nodes import describe_utterances, extract_frames


def create_pipeline(**_: object) -> Pipeline:
    """Frames of every recording, then what they say of each utterance."""
    return Pipeline(
        [
            Node(
                extract_frames,
                inputs=["raw", "recordings", "params:features"],
                outputs=["frames", "features_quarantine"],
                name="extract_frames",
            ),
            Node(
                describe_utterances,
                inputs=["raw", "recordings", "transcripts", "frames", "speaker_encoder"],
                outputs=["utterance_features", "utterance_quarantine"],
                name="describe_utterances",
            ),
        ],
        tags="features",
    )
