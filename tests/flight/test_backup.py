"""Backups of folders: whole or not there, continued after breaks, nothing sent twice, nothing outside the roots."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from nymph.errors import NymphError
from nymph.flight.auth import Token
from nymph.flight.backup import Transfer, drop_backup, fetch_folder, list_backups, upload_folder
from nymph.flight.backups import SCHEMA, FileRequest, blocks_of
from nymph.flight.server import FlightServer, Limits

Serve = Callable[..., FlightServer]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five megabytes, a few bytes and none."""
    folder = tmp_path / "step-7"
    folder.mkdir()
    for name, size in {"model.safetensors": 5_000_000, "state.json": 40, "empty": 0}.items():
        (folder / name).write_bytes(os.urandom(size))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def location(server: FlightServer, name: str = "kept/run/step-7") -> str:
    return f"grpc://127.0.0.1:{server.port}/{name}"


def send(server: FlightServer, path: Path, request: FileRequest) -> None:
    with fl.connect(f"grpc://127.0.0.1:{server.port}") as client:
        writer, _ = client.do_put(fl.FlightDescriptor.for_command(request.encode()), SCHEMA)
        with writer:
            for block in blocks_of(path, request.start):
                writer.write_batch(block)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_comes_back_as_it_was(tmp_path: Path, serve: Serve, folder: Path) -> None:
    server = serve({}, backups={"kept": tmp_path / "kept"})
    assert upload_folder(folder, location(server)) == Transfer(3, 3, 5_000_040)
    assert list_backups(location(server, "")) == ["kept/run/step-7"]
    assert list_backups(location(server, "kept/ru")) == []
    fetch_folder(location(server), tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder) == contents(tmp_path / "kept" / "run" / "step-7")


def test_what_is_there_is_not_sent_again(tmp_path: Path, serve: Serve, folder: Path) -> None:
    server = serve({}, backups={"kept": tmp_path / "kept"})
    upload_folder(folder, location(server))
    (folder / "state.json").write_bytes(b"new")
    assert upload_folder(folder, location(server)) == Transfer(3, 1, 3)
    fetch_folder(location(server), tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)


def test_a_file_goes_on_after_its_last_byte(tmp_path: Path, serve: Serve, folder: Path) -> None:
    server, path = serve({}, backups={"kept": tmp_path / "kept"}), folder / "model.safetensors"
    half = tmp_path / "half"
    half.write_bytes(path.read_bytes()[:3_000_000])
    send(server, half, FileRequest("kept/run/step-7", path.name, 0, 5_000_000, digest(path)))
    assert list_backups(location(server, "")) == []
    assert upload_folder(folder, location(server)).bytes == 2_000_040
    assert contents(tmp_path / "kept" / "run" / "step-7") == contents(folder)
    assert list((tmp_path / "kept").rglob(".part-*")) == []


def test_a_dropped_backup_is_gone_and_only_it(tmp_path: Path, serve: Serve, folder: Path) -> None:
    server = serve({}, backups={"kept": tmp_path / "kept"})
    for name in ("kept/run", "kept/run/step-7", "kept/run/step-8"):
        upload_folder(folder, location(server, name))
    drop_backup(location(server, "kept/run"))
    drop_backup(location(server))
    assert list_backups(location(server, "")) == ["kept/run/step-8"]
    assert [path.name for path in (tmp_path / "kept" / "run").iterdir()] == ["step-8"]
    with pytest.raises(NymphError, match="no complete backup"):
        drop_backup(location(server))


def test_an_incomplete_backup_cannot_be_fetched(tmp_path: Path, serve: Serve, folder: Path) -> None:
    server, path = serve({}, backups={"kept": tmp_path / "kept"}), folder / "state.json"
    send(server, path, FileRequest("kept/run/step-7", path.name, 0, 40, digest(path)))
    with pytest.raises(NymphError, match="no complete backup"):
        fetch_folder(location(server), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_damage_on_the_way_is_found_and_dropped(tmp_path: Path, serve: Serve, folder: Path) -> None:
    server, path = serve({}, backups={"kept": tmp_path / "kept"}), folder / "state.json"
    with pytest.raises(fl.FlightServerError, match="arrived damaged"):
        send(server, path, FileRequest("kept/a", path.name, 0, 40, "0" * 64))
    assert [each for each in (tmp_path / "kept").rglob("*") if each.is_file()] == []


def test_damage_on_the_servers_disk_is_found_by_the_client(tmp_path: Path, serve: Serve, folder: Path) -> None:
    server = serve({}, backups={"kept": tmp_path / "kept"})
    upload_folder(folder, location(server))
    (tmp_path / "kept" / "run" / "step-7" / "state.json").write_bytes(b"x" * 40)
    with pytest.raises(NymphError, match=r"'state.json' arrived damaged"):
        fetch_folder(location(server), tmp_path / "back")


@pytest.mark.parametrize("name", ["kept/../x", "other/x", "kept/.x", "kept", "kept/link/x", "kept/a//b", "/kept/x"])
def test_no_name_leads_out_of_the_root(tmp_path: Path, serve: Serve, folder: Path, name: str) -> None:
    server = serve({}, backups={"kept": tmp_path / "kept"})
    (tmp_path / "kept" / "link").symlink_to(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    path = folder / "state.json"
    with pytest.raises(fl.FlightServerError):
        send(server, path, FileRequest(name, path.name, 0, 40, digest(path)))
    with pytest.raises(fl.FlightServerError), fl.connect(location(server, "")) as client:
        list(client.do_get(fl.Ticket(FileRequest(name, path.name).encode())))
    assert sorted(tmp_path.rglob("*")) == before


def test_limits_and_scopes_hold(tmp_path: Path, serve: Serve, folder: Path) -> None:
    tokens = [Token.of("reader", ["read"]), Token.of("writer", ["write"])]
    server = serve({}, backups={"kept": tmp_path / "kept"}, tokens=tokens, limits=Limits(upload_bytes=1_000_000))
    with pytest.raises(NymphError, match="scope 'write'"):
        upload_folder(folder, location(server), token="reader")
    with pytest.raises(NymphError, match="at most 1000000 bytes, got 5000000"):
        upload_folder(folder, location(server), token="writer")
    (folder / "model.safetensors").unlink()
    upload_folder(folder, location(server), token="writer")
    assert list_backups(location(server, ""), token="reader") == ["kept/run/step-7"]


def test_a_break_while_sending_is_made_good(
    tmp_path: Path, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, breaks = serve({}, backups={"kept": tmp_path / "kept"}), [1, 2]

    def broken(path: Path, start: int) -> Iterator[pa.RecordBatch]:
        for number, block in enumerate(blocks_of(path, start)):
            if breaks and number == breaks[0]:
                breaks.pop(0)
                raise fl.FlightUnavailableError("the wire broke")
            yield block

    monkeypatch.setattr("nymph.flight.backup.blocks_of", broken)
    upload_folder(folder, location(server))
    assert len(breaks) < 2
    assert contents(tmp_path / "kept" / "run" / "step-7") == contents(folder)


def test_a_file_that_goes_away_is_an_error_at_once(
    tmp_path: Path, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path, start: int) -> Iterator[pa.RecordBatch]:
        path.unlink()
        return blocks_of(path, start)

    monkeypatch.setattr("nymph.flight.backup.blocks_of", gone)
    with pytest.raises(NymphError, match="cannot read"):
        upload_folder(folder, location(serve({}, backups={"kept": tmp_path / "kept"})))


def test_without_backup_roots_nothing_is_taken(tmp_path: Path, serve: Serve, folder: Path) -> None:
    with pytest.raises(NymphError, match="not allowed"):
        upload_folder(folder, location(serve({"t": tmp_path}), "t/x"))
