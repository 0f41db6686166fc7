"""recordings, transcripts -> frames, utterance_features, speakers."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.features.nodes import describe_utterances, extract_frames, identify_speakers


def create_pipeline(**_: object) -> Pipeline:
    """Frames of every recording, then what they say of each utterance, then who speaks."""
    return Pipeline(
        [
            Node(
                extract_frames,
                inputs=["raw", "recordings", "params:features", "params:compute"],
                outputs=["frames", "features_quarantine"],
                name="extract_frames",
            ),
            Node(
                describe_utterances,
                inputs=["raw", "recordings", "transcripts", "frames", "speaker_encoder", "params:compute"],
                outputs=["utterance_features", "utterance_quarantine"],
                name="describe_utterances",
            ),
            Node(
                identify_speakers,
                inputs=["transcripts", "utterance_features", "params:features"],
                outputs="speakers",
                name="identify_speakers",
            ),
        ],
        tags="features",
    )
