from nymph.pipelines.tokenizer.pipeline import create_pipeline

__all__ = ["create_pipeline"]
