"""Every environment's catalog materialises without connecting, has base's names, and every typed option validates."""

import socket
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project, pipelines, settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from nymph.cli.serve_options import ServeOptions
from nymph.dashboard.options import DashboardOptions
from nymph.hooks.tracking import read_options

PROJECT = Path(__file__).parents[2]
ENVIRONMENTS = ["base", "ryzen", "threadripper"]


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NYMPH_FLIGHT", "NYMPH_MLFLOW", "NYMPH_DEVICE", "NYMPH_WHISPER_MODEL", "KEDRO_ENV"):
        monkeypatch.delenv(name, raising=False)
    bootstrap_project(PROJECT)
    configure_project("nymph")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _loader(env: str) -> OmegaConfigLoader:
    return OmegaConfigLoader(conf_source=str(PROJECT / "conf"), env=env, **settings.CONFIG_LOADER_ARGS)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_catalog_entry_materialises_without_connecting(env: str, no_network: None) -> None:
    with KedroSession.create(PROJECT, env=env) as session:
        catalog = session.load_context().catalog
        assert all(catalog.get(name) is not None for name in catalog)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_an_environment_has_the_names_of_base(env: str) -> None:
    assert set(_loader(env)["catalog"]) == set(_loader("base")["catalog"])


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_typed_option_validates(env: str) -> None:
    with KedroSession.create(PROJECT, env=env) as session:
        catalog = session.load_context().catalog
        names = {name for name in pipelines["__default__"].inputs() if name.startswith("params:")}
        assert all(type(catalog.load(name)).__module__.startswith("nymph.") for name in names)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_serve_dashboard_and_mlflow_options_validate(env: str) -> None:
    loader = _loader(env)
    assert ServeOptions.model_validate(loader["serve"]).host == "127.0.0.1"
    assert DashboardOptions.model_validate(loader["dashboard"]).host == "127.0.0.1"
    assert read_options(loader).enabled


def test_ryzen_keeps_copies_of_checkpoints_beside_its_tables() -> None:
    options = ServeOptions.model_validate(_loader("ryzen")["serve"])
    assert (set(options.roots), set(options.backups)) == ({"sequences"}, {"checkpoints"})


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_what_runs_by_default_is_declared_and_exists(env: str) -> None:
    chosen = _loader(env)["run"]["pipelines"]
    assert chosen
    assert set(chosen) <= set(pipelines)


def test_base_runs_every_pipeline() -> None:
    assert set(_loader("base")["run"]["pipelines"]) == set(pipelines) - {"__default__"}


def test_threadripper_reads_rows_and_tokenizer_from_the_flight_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NYMPH_FLIGHT", "grpc://ryzen:7000")
    catalog = _loader("threadripper")["catalog"]
    remote = {name for name, entry in catalog.items() if entry.get("endpoint") == "grpc://ryzen:7000"}
    assert remote == {"sequences_train", "sequences_validation", "sequences_test", "tokenizer"}


def test_every_environment_file_says_what_it_binds() -> None:
    files = [path for env in ("ryzen", "threadripper") for path in (PROJECT / "conf" / env).rglob("*.yml")]
    assert files
    assert all(path.read_text().startswith("# ") for path in files)
