"""The Arrow schema of a training row: `context_length` positions, every stream in its own column.

Fixed-size lists cost bytes where a stream is absent (zstd takes them back on disk) and buy a layout that becomes a
tensor without touching a row. Legend: T context length, 640 = 8 frames x 80 log-mel bins.
"""

import json
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Literal

import pyarrow as pa

from nymph.errors import NymphError

SCHEMA_VERSION = "1"
FRAMES_PER_PATCH = 8
MEL_BINS = 80
PATCH = FRAMES_PER_PATCH * MEL_BINS
PROSODY = 4
SPEAKER = 256
SECONDS_PER_FRAME = 0.01

VERSION_KEY = b"nymph.schema"
TOKENIZER_KEY = b"nymph.tokenizer"
OPTIONS_KEY = b"nymph.options"
STATISTICS_KEY = b"nymph.statistics"
VOCABULARY_KEY = b"nymph.vocabulary_size"
SENTIMENTS_KEY = b"nymph.sentiments"

TokenType = Literal["uint16", "int32"]


class Modality(IntEnum):
    """What stands at a position."""

    PADDING = 0
    TEXT = 1
    AUDIO = 2
    CONTROL = 3
    IMAGE = 4


def row_schema(context_length: int, token_type: TokenType, metadata: Mapping[bytes, bytes] | None = None) -> pa.Schema:
    """The schema of a packed row, with its version and `metadata` attached."""
    if context_length < 2 or context_length > 2**32 - 1:
        raise NymphError(f"context_length: expected 2 to 4294967295, got {context_length}")
    if token_type not in ("uint16", "int32"):
        raise NymphError(f"token_type: expected 'uint16' or 'int32', got {token_type!r}")

    def per_position(value: pa.DataType, count: int = 1) -> pa.DataType:
        return pa.list_(pa.field("element", value, nullable=False), count * context_length)

    def vectors(width: int) -> pa.DataType:
        vector = pa.list_(pa.field("element", pa.float16(), nullable=False), width)
        return pa.list_(pa.field("element", vector, nullable=False))

    types = {
        "tokens": per_position(pa.type_for_alias(token_type)),
        "modality": per_position(pa.uint8()),
        "loss_weight": per_position(pa.float16()),
        "document": per_position(pa.uint16()),
        "sentiment": per_position(pa.int8()),
        "speaker": per_position(pa.int16()),
        "prosody": per_position(pa.float16(), PROSODY),
        "speaker_vector": vectors(SPEAKER),
        "audio_position": pa.list_(pa.field("element", pa.uint32(), nullable=False)),
        "audio": vectors(PATCH),
    }
    fields = [pa.field(name, kind, nullable=False) for name, kind in types.items()]
    return pa.schema(fields, {**(metadata or {}), VERSION_KEY: SCHEMA_VERSION.encode()})


def context_length_of(schema: pa.Schema) -> int:
    """T of a row schema."""
    kind = schema.field("tokens").type if "tokens" in schema.names else None
    if kind is None or not pa.types.is_fixed_size_list(kind):
        raise NymphError("not training rows: expected a column 'tokens' of fixed-size lists; run the parquet pipeline")
    return int(kind.list_size)


def vocabulary_size_of(schema: pa.Schema) -> int:
    """Ids that the rows' tokenizer has, audio units included."""
    return int(_fact(schema, VOCABULARY_KEY))


def sentiment_labels_of(schema: pa.Schema) -> tuple[str, ...]:
    """The labels that the rows' sentiment classes stand for, in class order."""
    return tuple(json.loads(_fact(schema, SENTIMENTS_KEY)))


def common_tokenizer(schemas: Iterable[pa.Schema]) -> str:
    """The one tokenizer fingerprint of tables that are to be used together; NymphError if they differ."""
    found = {(schema.metadata or {}).get(TOKENIZER_KEY, b"unknown").decode() for schema in schemas}
    if len(found) != 1:
        raise NymphError(
            f"rows of different tokenizers cannot be mixed, got {sorted(found)}; run the parquet pipeline again"
        )
    return found.pop()


def _fact(schema: pa.Schema, key: bytes) -> str:
    value = (schema.metadata or {}).get(key)
    if value is None:
        raise NymphError(f"the rows do not say their {key.decode()}; run the parquet pipeline again")
    return value.decode()


def check_schema(schema: pa.Schema, where: str) -> None:
    """Raise NymphError unless `schema` is this version's row schema; `where` names its file or table."""
    version = (schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if version != SCHEMA_VERSION:
        raise NymphError(
            f"{where}: expected row schema {SCHEMA_VERSION}, got {version}; run the parquet pipeline again"
        )
    token_type: TokenType = "uint16" if schema.field("tokens").type.value_type == pa.uint16() else "int32"
    expected = row_schema(context_length_of(schema), token_type)
    if not schema.equals(expected):
        raise NymphError(f"{where}: expected the columns\n{expected}\ngot\n{schema.remove_metadata()}")
