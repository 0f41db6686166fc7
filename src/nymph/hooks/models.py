"""What a run will need of other people's servers, asked for before any work starts."""

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline


class ModelsHook:
    """A gated model without its token ends a run at once, not after hours of other stages."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Raise NymphError for a model that the run's transcriber cannot have."""
        from nymph.datasets.models import TranscriberDataset

        for name in pipeline.inputs():
            dataset = catalog.get(name)
            if isinstance(dataset, TranscriberDataset):
                dataset.check()
