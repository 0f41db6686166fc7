"""Parameters that nothing reads are refused by name."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nymph.errors import NymphError
from nymph.hooks.parameters import ParametersHook


def context(folder: Path, *groups: str) -> Any:
    (folder / "base" / "parameters").mkdir(parents=True)
    (folder / "base" / "parameters" / "features.yml").touch()
    return SimpleNamespace(config_loader=SimpleNamespace(conf_source=str(folder)), params={name: {} for name in groups})


def test_a_misspelt_group_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match=r"no parameters 'featurs'.*did you mean 'features'"):
        ParametersHook().after_context_created(context(tmp_path, "featurs"))


def test_a_group_with_a_file_is_taken(tmp_path: Path) -> None:
    ParametersHook().after_context_created(context(tmp_path, "features"))
