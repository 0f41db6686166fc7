"""A Kedro run notes how far it is, and what runs beside it ends with it."""

import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.pipeline import Node, Pipeline

from nymph import output
from nymph.dashboard.assets import CHART
from nymph.dashboard.options import DashboardOptions
from nymph.dashboard.preparation import PREPARATION
from nymph.hooks.dashboard import LOGS_KEPT, DashboardHook
from nymph.training.events import EVENTS, read_events

RUN = {"run_id": "2026-01-01T00.00.00.000Z"}


def a_node() -> Node:
    return Node(lambda: 1, inputs=None, outputs="x", name="find", tags="ingestion")


def hook_of(project: Path, **options: object) -> DashboardHook:
    hook = DashboardHook()
    config = {"dashboard": {"runs": "runs", **options}}
    hook.after_context_created(SimpleNamespace(project_path=project, config_loader=config))  # type: ignore[arg-type]
    return hook


def events(project: Path) -> list[dict]:
    return [event for log in (project / "runs" / PREPARATION).glob(f"*/{EVENTS}") for event in read_events(log)]


def test_stages_and_their_progress_are_logged(tmp_path: Path) -> None:
    hook, node = hook_of(tmp_path), a_node()
    hook.before_pipeline_run(RUN, Pipeline([node]))
    hook.before_node_run(node)
    output.record("progress", stage="find", items=3, made=1, reused=0, quarantined=0)
    hook.after_pipeline_run()
    assert [event["kind"] for event in events(tmp_path)] == ["start", "node", "progress", "end"]
    assert events(tmp_path)[0]["stages"] == ["ingestion"]
    assert not output.LISTENERS


def test_an_error_is_how_the_run_ended(tmp_path: Path) -> None:
    hook = hook_of(tmp_path)
    hook.before_pipeline_run(RUN, Pipeline([a_node()]))
    hook.on_pipeline_error(ValueError("no recordings"))
    assert events(tmp_path)[-1]["reason"] == "ValueError: no recordings"


def test_old_logs_make_room(tmp_path: Path) -> None:
    for number in range(LOGS_KEPT + 3):
        hook = hook_of(tmp_path)
        hook.before_pipeline_run({"run_id": f"2026-01-{number:02d}"}, Pipeline([a_node()]))
        hook.after_pipeline_run()
    assert len(list((tmp_path / "runs" / PREPARATION).iterdir())) == LOGS_KEPT


@pytest.mark.slow
def test_a_page_that_cannot_start_does_not_stop_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NYMPH_DASHBOARD_TOKEN", raising=False)
    hook = hook_of(tmp_path, serve=True, host="0.0.0.0")
    hook.before_pipeline_run(RUN, Pipeline([a_node()]))
    assert hook._beside[0].wait(240) == 1
    hook.after_pipeline_run()
    assert "the run goes on without it" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_ends_with_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nymph.hooks.dashboard._GOODBYE_SECONDS", 240)
    (tmp_path / CHART).parent.mkdir(parents=True)
    (tmp_path / CHART).write_text("// stands for Chart.js")
    hook, said = hook_of(tmp_path, serve=True, port=0), ""
    hook.before_pipeline_run(RUN, Pipeline([a_node()]))
    [page] = hook._beside
    while "Dashboard of" not in said:
        assert page.poll() is None
        time.sleep(0.05)
        said += capfd.readouterr().err
    hook.after_pipeline_run()
    assert page.returncode not in (None, -signal.SIGKILL)  # it went by itself


def test_an_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="prot"):
        DashboardOptions.model_validate({"prot": 1})
