"""What a folder of rows holds, counted from the rows' own record of where they came from, and what it does not."""

from collections import Counter
from pathlib import Path
from typing import Any

from nymph.errors import NymphError
from nymph.files import read_json
from nymph.parquet import iter_parquet, open_parquet
from nymph.sequences.schema import context_length_of
from nymph.sequences.writer import LEFT_OUT, ORIGINS


def describe_rows(folder: str | Path) -> dict[str, Any]:
    """Rows, padding share, documents and positions by task and kind of utterance, and what was left out and why.

    Raises:
        NymphError: the record of where the rows came from is gone.
    """
    if not (Path(folder) / ORIGINS).is_dir():
        raise NymphError(f"{folder}: expected {ORIGINS} in it; delete the folder and run the parquet pipeline again")
    documents: Counter[str] = Counter()
    positions: Counter[str] = Counter()
    rows, context_length = 0, 0
    for shard in sorted(Path(folder).glob("*.parquet")):
        with open_parquet(shard) as file:
            context_length = context_length_of(file.schema_arrow)
        for batch in iter_parquet(shard.parent / ORIGINS / shard.name, ["documents"]):
            rows += batch.num_rows
            for document in batch["documents"].flatten().to_pylist():
                name = f"{document['task']}/{document['source']}"
                documents[name] += 1
                positions[name] += document["positions"]
    used = sum(positions.values())
    return {
        "rows": rows,
        "context_length": context_length,
        "padding": round(1 - used / (rows * context_length), 4) if rows else 0.0,
        "documents": dict(sorted(documents.items())),
        "positions": dict(sorted(positions.items())),
        "left_out": read_json(Path(folder) / ORIGINS / LEFT_OUT),
    }
