"""The thin adapters: nothing connects at construction, what is saved comes back, nothing half written."""

from pathlib import Path

import pyarrow as pa
import pytest
from kedro.io.core import DatasetError

from nymph.datasets.flight import FlightDataset
from nymph.datasets.folder import FolderDataset
from nymph.datasets.items import ItemsDataset
from nymph.datasets.raw_folder import RawFolderDataset
from nymph.datasets.report import ReportDataset
from nymph.datasets.tokenizer import FlightTokenizerDataset, TokenizerDataset, TokenizerTableDataset
from nymph.errors import NymphError
from nymph.flight.server import FlightServer
from nymph.stages import Item, Made, Work, whole
from nymph.text.tokenizer import Tokenizer, train_tokenizer
from nymph.text.training import TokenizerOptions


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["hello there, hello again"] * 5, TokenizerOptions(vocabulary_size=512))


def test_a_tokenizer_comes_back_from_a_file_a_table_and_a_server(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = TokenizerDataset(filepath=str(tmp_path / "model" / "tokenizer.json"))
    table = TokenizerTableDataset(filepath=str(tmp_path / "sequences" / "tokenizer"))
    for dataset in (file, table):
        dataset.save(whole("tokenizer", "key", lambda: tokenizer))
    with FlightServer({"sequences": tmp_path / "sequences"}, port=0) as server:
        remote = FlightTokenizerDataset(endpoint=f"grpc://127.0.0.1:{server.port}", table="sequences/tokenizer")
        loaded = [dataset.load() for dataset in (file, table, remote)]
    assert {one.fingerprint for one in loaded} == {tokenizer.fingerprint}


def test_a_flight_entry_is_an_address_and_connects_to_nothing() -> None:
    entry = FlightDataset(endpoint="grpc://127.0.0.1:1/", table="/sequences/train")
    assert entry.load() == "grpc://127.0.0.1:1/sequences/train"
    assert entry.exists()


def test_a_report_is_written_whole(tmp_path: Path) -> None:
    report = ReportDataset(filepath=str(tmp_path / "deep" / "report.json"))
    report.save({"loss": 1.5, "summary": ["fine"]})
    assert report.load() == {"loss": 1.5, "summary": ["fine"]}
    with pytest.raises(DatasetError):
        report.save({"loss": object()})
    assert report.load()["loss"] == 1.5
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.json"]


def test_items_exist_once_their_index_does(tmp_path: Path) -> None:
    items = ItemsDataset(filepath=str(tmp_path / "items"))
    assert not items.exists()
    items.save(Work("stage", [Item("a", "1")], lambda missing: [Made(item, pa.table({"x": [1]})) for item in missing]))
    assert items.exists()
    assert items.load().read("a")["x"].to_pylist() == [1]
    assert items.preview()["data"] == [[1]]


def test_the_sample_is_offered_once(tmp_path: Path) -> None:
    raw = RawFolderDataset(filepath=str(tmp_path), sample=True)
    assert [file.source for file in raw.load().files()] == ["audio/sample.wav"]
    (tmp_path / "audio" / "sample.wav").unlink()
    assert list(raw.load().files()) == []


def test_a_name_cannot_leave_the_raw_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    raw = RawFolderDataset(filepath=str(tmp_path / "raw")).load()
    (tmp_path / "raw" / "link.txt").symlink_to(tmp_path / "secret.txt")
    for name in ("../secret.txt", str(tmp_path / "secret.txt"), "link.txt", "none.txt"):
        with pytest.raises(NymphError):
            raw.path_of(name)
    assert not any(file.regular for file in raw.files())


def test_what_is_only_a_place_is_not_saved_to(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        FolderDataset(filepath=str(tmp_path)).save(None)  # type: ignore[arg-type]
