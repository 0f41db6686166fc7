"""Find what is in the raw folder."""

from nymph.ingestion.raw import RawFolder
from nymph.ingestion.scan import declare_recordings
from nymph.stages import Work
from nymph.stores.quarantine import Quarantine


def ingest_raw_files(raw: RawFolder) -> tuple[Work, Quarantine]:
    """Declare a row for every recording, document and conversation under the raw folder."""
    work = declare_recordings(raw)
    return work, Quarantine(work)
