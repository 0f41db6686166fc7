from nymph.pipelines.sentiment.pipeline import create_pipeline

__all__ = ["create_pipeline"]
