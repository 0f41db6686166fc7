"""Reports of an ingested corpus, and of a file or folder that is only looked at."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nymph.audio.decode import decode_blocks
from nymph.console import carry_out
from nymph.errors import NymphError
from nymph.ingestion.options import IngestionOptions
from nymph.ingestion.raw import RawFolder
from nymph.ingestion.scan import declare_recordings
from nymph.parquet import iter_parquet
from nymph.reporting.collect import COLUMNS, Corpus
from nymph.reporting.sound import measure
from nymph.stages import Failed, Item, Made, failure_of
from nymph.stores.items import StoredItems
from nymph.stores.recordings import Recordings

Report = dict[str, Any]


def ingested_report(
    place: str,
    recordings: Recordings,
    statistics: StoredItems,
    unusable: Iterable[Failed],
    undecodable: Iterable[Failed],
) -> Report:
    """The report of what the ingestion pipeline made.

    Args:
        place: What to call the corpus.
        recordings: Its table.
        statistics: The sound of its recordings.
        unusable: What ingestion quarantined.
        undecodable: What the statistics quarantined.
    """
    corpus = Corpus()
    corpus.fail(unusable)
    corpus.spoil(undecodable)
    for batch in iter_parquet(recordings.filepath, list(COLUMNS)):
        for row in batch.to_pylist():
            corpus.row(row)
    for batch in statistics.batches():
        for row in batch.to_pylist():
            corpus.sound(row)
    return corpus.report(place)


def looked_at_report(path: Path, root: Path | None = None, options: IngestionOptions | None = None) -> Report:
    """The report of a file or folder, which is left as it is; nothing is remembered.

    Args:
        path: What to look at.
        root: Folder that paths in JSON lines start from; the folder itself, or the file's own, when absent.
        options: What a user chooses.

    Raises:
        NymphError: there is no such file or folder.
    """
    if not path.exists():
        raise NymphError(f"expected a file or folder, found nothing at {path}")
    path = path.resolve()
    folder = RawFolder(root.resolve() if root else path if path.is_dir() else path.parent)
    only = None if path.is_dir() else folder.source_of(path)
    work = declare_recordings(folder, options, only)
    if only is not None and not work.items:
        raise NymphError(f"{path}: expected a file that ingestion would read; hidden ones are passed over")
    corpus = Corpus()
    for outcome in carry_out(work, lambda item: False):
        if isinstance(outcome, Made):
            for row in outcome.value:
                if row["kind"] == "speech":
                    _listen(corpus, folder, outcome.item, row)
                corpus.row({name: row.get(name) for name in COLUMNS} | {"file_key": outcome.item.key})
    corpus.fail(work.tally.failures)
    return corpus.report(str(path))


def _listen(corpus: Corpus, folder: RawFolder, item: Item, row: Report) -> None:
    """Decode a recording to its end, unless its content was heard under another name."""
    if corpus.knows(row["id"]):
        return
    try:
        blocks = decode_blocks(folder.path_of(row["source"]), row["sample_rate"])
        corpus.sound(measure(row["id"], blocks, row["sample_rate"]).to_pylist()[0])
    except NymphError as error:
        corpus.spoil([failure_of(Item(row["id"], item.key, source=row["source"]), error)])
