"""data/01_raw -> recordings."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.ingestion.nodes import ingest_raw_files


def create_pipeline(**_: object) -> Pipeline:
    """One node: sniff, hash, quarantine."""
    return Pipeline(
        [
            Node(
                ingest_raw_files,
                inputs="raw",
                outputs=["recordings", "ingestion_quarantine"],
                name="ingest_raw_files",
            )
        ],
        tags="ingestion",
    )
