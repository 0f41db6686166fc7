"""A tokenizer as a one-row Parquet table, so that it can be served like any other table."""

import tempfile
from pathlib import Path

import pyarrow as pa

from nymph.files import atomic_directory
from nymph.parquet import write_parquet
from nymph.text.tokenizer import CONFIGURATION, Tokenizer

TABLE_SCHEMA = pa.schema([("tokenizer", pa.large_string()), ("configuration", pa.large_string())])


def write_tokenizer_table(folder: Path, tokenizer: Tokenizer) -> None:
    """Write the tokenizer's two files as the one row of a table in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "tokenizer.json"
        tokenizer.save(file)
        row = [file.read_text("utf-8"), file.with_name(CONFIGURATION).read_text("utf-8")]
    table = pa.table([[value] for value in row], schema=TABLE_SCHEMA)
    with atomic_directory(folder) as part:
        write_parquet(part / "00000.parquet", TABLE_SCHEMA, [table])


def read_tokenizer_table(row: pa.RecordBatch) -> Tokenizer:
    """The tokenizer in a row of `TABLE_SCHEMA`."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "tokenizer.json"
        file.write_text(row["tokenizer"][0].as_py(), "utf-8")
        file.with_name(CONFIGURATION).write_text(row["configuration"][0].as_py(), "utf-8")
        return Tokenizer.load(file)
