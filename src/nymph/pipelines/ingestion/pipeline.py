"""data/01_raw -> recordings, their sound's statistics, a report."""

from kedro.pipeline import Node, Pipeline

from nymph.pipelines.ingestion.nodes import ingest_raw_files, measure_recordings, report_data


def create_pipeline(**_: object) -> Pipeline:
    """Sniff, hash and quarantine; listen once; tell."""
    return Pipeline(
        [
            Node(
                ingest_raw_files,
                inputs=["raw", "params:ingestion"],
                outputs=["recordings", "ingestion_quarantine"],
                name="ingest_raw_files",
            ),
            Node(
                measure_recordings,
                inputs=["raw", "recordings", "params:compute"],
                outputs=["recording_statistics", "statistics_quarantine"],
                name="measure_recordings",
            ),
            Node(
                report_data,
                inputs=[
                    "raw",
                    "recordings",
                    "recording_statistics",
                    "ingestion_quarantine",
                    "statistics_quarantine",
                ],
                outputs=["data_report", "data_report_page"],
                name="report_data",
            ),
        ],
        tags="ingestion",
    )
