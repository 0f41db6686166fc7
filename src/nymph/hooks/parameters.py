"""Groups of parameters that nothing reads are an error: a misspelt one would otherwise change nothing, in silence."""

from pathlib import Path

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from nymph.errors import NymphError, nearest


class ParametersHook:
    """Knows a group by its file in conf/base/parameters; what stands inside it the stages' options check."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Raise NymphError for a group without a file."""
        files = Path(context.config_loader.conf_source, "base", "parameters").glob("*.yml")
        known = sorted(file.stem for file in files)
        for name in set(context.params).difference(known) if known else ():
            raise NymphError(
                f"no parameters {name!r}: expected one of {', '.join(known)}{nearest(name, known)} "
                "(which models are used, and where data is, stands in conf/<env>/catalog)"
            )
