from nymph.pipelines.parquet.pipeline import create_pipeline

__all__ = ["create_pipeline"]
