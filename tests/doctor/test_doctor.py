"""What stands in the way is found before a run, and named with advice."""

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch

from nymph.doctor.check import Finding, attempt
from nymph.doctor.environment import endpoint_findings, model_findings, wants_cuda, writable_finding
from nymph.doctor.machine import gpu_findings, machine_findings, version_findings
from nymph.errors import NymphError
from nymph.flight.server import FlightServer
from nymph.parquet import write_parquet

TRANSCRIBER = "nymph.datasets.models.TranscriberDataset"
FLIGHT = "nymph.datasets.flight.FlightDataset"


def refuse() -> str:
    raise NymphError("the door is shut; last error: 13; open it")


def test_a_failed_probe_is_split_into_what_is_wrong_and_what_to_do() -> None:
    finding = attempt("door", refuse)
    assert (finding.grade, finding.text, finding.advice) == ("failure", "the door is shut; last error: 13", "open it")


def test_the_machine_and_its_versions_are_described(tmp_path: Path) -> None:
    findings = [*machine_findings(tmp_path), *version_findings()]
    assert {"machine", "memory", "disk", "versions"} == {finding.topic for finding in findings}
    assert all(finding.grade != "failure" for finding in findings)


def test_no_gpu_is_a_failure_only_where_one_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [finding.grade for finding in gpu_findings(wanted=False)] == ["ok", "ok"]
    assert [finding.grade for finding in gpu_findings(wanted=True)] == ["ok", "failure"]


def test_a_pascal_card_under_a_build_without_its_code_names_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="Tesla P40", major=6, minor=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (20 * 2**30, 24 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_70", "sm_80", "sm_90"])
    finding = list(gpu_findings(wanted=True))[-1]
    assert finding.grade == "failure"
    assert "Tesla P40 sm_61" in finding.text
    assert "cu126" in finding.advice


def test_the_offline_models_are_found_and_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    entries = {
        "small": {"type": TRANSCRIBER, "config": {"model": "offline-tiny-en", "device": "cpu"}},
        "large": {"type": TRANSCRIBER, "config": {"model": "large-v3", "device": "cpu"}},
        "other": {"type": "nymph.datasets.report.ReportDataset"},
    }
    grades = {finding.topic: finding.grade for finding in model_findings(entries)}
    assert grades == {"small": "ok", "large": "failure"}
    assert not wants_cuda(entries)
    assert wants_cuda({"large": {"config": {"device": "cuda"}}})


def flight_findings(monkeypatch: pytest.MonkeyPatch, endpoint: str, patience: float) -> list[Finding]:
    monkeypatch.setattr("nymph.doctor.environment.CONNECT_SECONDS", patience)
    entries = {"a": {"type": FLIGHT, "endpoint": endpoint, "table": "sequences/train"}}
    return list(endpoint_findings(entries, "sqlite:///mlflow.db"))


def test_a_server_is_asked_for_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"x": pa.array([1, 2, 3], pa.int32())})
    write_parquet(tmp_path / "train" / "0.parquet", table.schema, [table])
    with FlightServer({"sequences": tmp_path}, port=0) as server:
        flight, mlflow = flight_findings(monkeypatch, f"grpc://127.0.0.1:{server.port}", patience=120.0)
    assert (flight.grade, mlflow.grade) == ("ok", "ok")
    assert "sequences/train (3 rows)" in flight.text


def test_a_server_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    flight, _ = flight_findings(monkeypatch, "grpc://127.0.0.1:1", patience=0.1)
    assert flight.grade == "failure"


def test_a_folder_that_cannot_be_written_to_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert writable_finding(tmp_path).grade == "ok"
    monkeypatch.setattr("os.access", lambda *_: False)
    assert writable_finding(tmp_path).grade == "failure"
