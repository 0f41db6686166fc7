"""Chart.js comes from npm, pinned, without an address in the repository."""

import json
from pathlib import Path

import pytest

from nymph.dashboard import assets
from nymph.errors import NymphError

ROOT = Path(assets.__file__).parents[3]


def test_the_lock_pins_contents_and_names_no_address() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    locked = {name: package for name, package in packages.items() if name}
    assert "node_modules/chart.js" in locked
    assert all(package["integrity"].startswith("sha512-") and "resolved" not in package for package in locked.values())


def test_the_version_is_exact() -> None:
    versions = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert all(version[0].isdigit() for version in versions.values())


def test_chart_js_is_not_in_the_repository() -> None:
    assert not [file for file in (ROOT / "src").rglob("*.js") if "chart.js v" in file.read_text()[:300].lower()]


def test_a_failed_installation_says_what_npm_said(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="npm could not install"):
        assets.install_assets(tmp_path)


@pytest.mark.slow
def test_npm_of_the_wheel_is_found_where_the_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert all(Path(part).exists() for part in assets._npm())
