"""Torch's switch that makes every model file a program is refused: libraries that load models would obey it."""

import os

from kedro.framework.hooks import hook_impl

from nymph.errors import NymphError

SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


class UnpicklingHook:
    """Nymph's own code is out of its reach: it unpickles nothing, or says `weights_only` itself."""

    @hook_impl
    def after_context_created(self) -> None:
        """Raise NymphError where the switch is on."""
        if os.environ.get(SWITCH, "").lower() in ("1", "y", "yes", "true"):
            raise NymphError(f"{SWITCH} is set: any model file could then run code of its own; unset it")
