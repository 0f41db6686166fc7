"""transcripts, features -> utterances.jsonl."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.sentiment.nodes import assemble_utterances, score_sentiment


def create_pipeline(**_: object) -> Pipeline:
    """Two nodes: judge, then assemble."""
    return Pipeline(
        [
            Node(
                score_sentiment,
                inputs=["transcripts", "sentiment_classifier", "params:sentiment", "params:compute"],
                outputs=["sentiment_scores", "sentiment_quarantine"],
                name="score_sentiment",
            ),
            Node(
                assemble_utterances,
                inputs=[
                    "recordings",
                    "transcripts",
                    "utterance_features",
                    "speakers",
                    "frames",
                    "sentiment_scores",
                    "params:sentiment",
                ],
                outputs="utterances",
                name="assemble_utterances",
            ),
        ],
        tags="sentiment",
    )
