from nymph.pipelines.transcription.pipeline import create_pipeline

__all__ = ["create_pipeline"]
