"""`params:ingestion`."""

from nymph.ingestion.options import IngestionOptions

__all__ = ["IngestionOptions"]
