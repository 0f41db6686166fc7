"""Find what is in the raw folder, listen to it once, and tell what it holds."""

from typing import Any

import pyarrow as pa

from nymph.compute import ComputeOptions
from nymph.ingestion.raw import RawFolder
from nymph.ingestion.scan import declare_recordings
from nymph.pipelines.ingestion.options import IngestionOptions
from nymph.reporting.corpus import ingested_report
from nymph.reporting.page import render_page
from nymph.reporting.sound import declare_statistics
from nymph.stages import Work
from nymph.stores.items import StoredItems
from nymph.stores.quarantine import Quarantine, failures_of
from nymph.stores.recordings import Recordings


def ingest_raw_files(raw: RawFolder, options: IngestionOptions) -> tuple[Work, Quarantine]:
    """Declare a row for every recording, document and conversation under the raw folder."""
    work = declare_recordings(raw, options)
    return work, Quarantine(work)


def measure_recordings(raw: RawFolder, recordings: Recordings, compute: ComputeOptions) -> tuple[Work, Quarantine]:
    """Declare loudness, clipping and silence of every recording."""
    work = declare_statistics(raw, recordings, compute)
    return work, Quarantine(work)


def report_data(
    raw: RawFolder, recordings: Recordings, statistics: StoredItems, unusable: pa.Table, undecodable: pa.Table
) -> tuple[dict[str, Any], str]:
    """What the corpus holds and what was quarantined, as JSON and as a page."""
    report = ingested_report(raw.root.name, recordings, statistics, failures_of(unusable), failures_of(undecodable))
    return report, render_page(report)
