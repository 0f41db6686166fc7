"""Options of the parquet stage: tasks, splits, packing and shards."""

from pydantic import BaseModel, ConfigDict, Field

from nymph.sequences.mix import MixOptions
from nymph.sequences.packing import PackingOptions
from nymph.sequences.splits import SplitOptions
from nymph.sequences.writer import ShardOptions


class ParquetOptions(BaseModel):
    """`params:parquet`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context_length: int = Field(default=256, ge=16, le=1 << 20)
    """Positions of a row."""
    mix: MixOptions = Field(default_factory=MixOptions)
    """Tasks, their weights, and factors by source."""
    split: SplitOptions = Field(default_factory=SplitOptions)
    """Shares of train, validation and test."""
    packing: PackingOptions = Field(default_factory=PackingOptions)
    """How documents share rows."""
    shards: ShardOptions = Field(default_factory=ShardOptions)
    """How rows are cut into files."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that make documents; the rows are the same for any number."""
