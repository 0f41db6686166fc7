"""Project settings; see https://docs.kedro.org/en/stable/configure/configuration_basics/."""

from kedro.config import OmegaConfigLoader
from omegaconf.resolvers import oc

from nymph.hooks.offline import be_offline_and_quiet

be_offline_and_quiet()

from nymph.hooks.dashboard import DashboardHook  # noqa: E402
from nymph.hooks.models import ModelsHook  # noqa: E402
from nymph.hooks.parameters import ParametersHook  # noqa: E402
from nymph.hooks.summary import SummaryHook  # noqa: E402
from nymph.hooks.tracking import TrackingHook  # noqa: E402
from nymph.hooks.unpickling import UnpicklingHook  # noqa: E402

# The last is called first: the summary is read while MLflow is told the rest.
HOOKS = (TrackingHook(), SummaryHook(), DashboardHook(), ModelsHook(), ParametersHook(), UnpicklingHook())

DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry", "kedro_telemetry")

CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "config_patterns": {
        "mlflow": ["mlflow*"],
        "run": ["run*"],
        "serve": ["serve*"],
        "dashboard": ["dashboard*"],
    },
    "custom_resolvers": {"oc.env": oc.env},
}
