"""Nothing phones home and nothing is fetched unless the user's environment says so."""

import os
import warnings

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "KEDRO_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_TELEMETRY": "false",
    "PYANNOTE_METRICS_ENABLED": "0",
    "OTEL_SDK_DISABLED": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def be_offline_and_quiet() -> None:
    """Set what is not set already; `HF_HUB_OFFLINE=0` in the environment lets hub ids be downloaded."""
    for name, value in {"HF_HUB_OFFLINE": "1", **QUIET}.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", message=".*register_new_resolver.*")
