import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

import nymph.tensors as tensors_module
from nymph.errors import NymphError
from nymph.tensors import load_tensors, read_metadata, save_tensors

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip


def samples() -> dict[str, torch.Tensor]:
    raw = torch.randint(0, 2, (3, 5), generator=torch.Generator().manual_seed(1))
    tensors = {str(dtype): raw.to(dtype) for dtype in DTYPES}
    return tensors | {
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 4),
        "strided": torch.arange(12.0).view(3, 4).t(),
    }


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert (tensor.dtype, tensor.shape) == (right[name].dtype, right[name].shape)
        assert (
            tensor.contiguous()
            .reshape(-1)
            .view(torch.uint8)
            .equal(right[name].contiguous().reshape(-1).view(torch.uint8))
        )


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", samples(), {"step": "7"})
    assert_same(safetensors.torch.load_file(tmp_path / "a.safetensors"), samples())
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"step": "7"}


def test_we_read_what_the_library_writes(tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in samples().items()}
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors", {"a": "ü"})
    assert_same(load_tensors(tmp_path / "a.safetensors"), tensors)
    assert read_metadata(tmp_path / "a.safetensors") == {"a": "ü"}


def test_save_returns_the_sha256_of_the_file(tmp_path: Path) -> None:
    digest = save_tensors(tmp_path / "a", samples())
    assert digest == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()


def test_pieces_are_told_and_add_up_to_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = save_tensors(tmp_path / "whole", samples())
    monkeypatch.setattr(tensors_module, "PIECE", 16)
    sizes: list[int] = []
    assert save_tensors(tmp_path / "pieces", samples(), after_piece=sizes.append) == digest
    assert (max(sizes), sum(sizes)) == (16, sum(tensor.nbytes for tensor in samples().values()))


def test_no_tensors_at_all_is_a_valid_file(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {})
    assert load_tensors(tmp_path / "a") == {}
    assert safetensors.torch.load_file(tmp_path / "a") == {}


def test_loaded_tensors_may_be_changed_without_touching_the_file(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"x": torch.zeros(8)})
    load_tensors(tmp_path / "a")["x"].fill_(1)
    assert load_tensors(tmp_path / "a")["x"].sum() == 0


def test_misaligned_data_of_another_writer_is_read(tmp_path: Path) -> None:
    data = struct.pack("<Bf", 9, 2.5)
    header = {"a": entry("U8", [1], 0, 1), "b": entry("F32", [1], 1, 5)}
    tensors = load_tensors(write(tmp_path, header, data))
    assert (tensors["a"].item(), tensors["b"].item()) == (9, 2.5)


def test_a_dtype_the_format_lacks_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match=r"'x' is torch\.complex128"):
        save_tensors(tmp_path / "a", {"x": torch.zeros(1, dtype=torch.complex128)})
    assert not list(tmp_path.iterdir())


def entry(dtype: Any, shape: Any, start: Any, stop: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def write(folder: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "hostile.safetensors"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


ONE = b'{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
HOSTILE: dict[str, tuple[Any, bytes]] = {
    "not JSON": (b"{nonsense", b""),
    "not UTF-8": (b'{"\xff": 1}', b""),
    "a list": (b"[1,2]", b""),
    "nested too deep": (b'{"a":' + b"[" * 200_000, b""),
    "key twice": (b'{"a":%b,"a":%b}' % (ONE, ONE), b"1"),
    "metadata not strings": ({"__metadata__": {"a": 1}}, b""),
    "entry without shape": ({"a": {"dtype": "U8", "data_offsets": [0, 1]}}, b"1"),
    "unknown dtype": ({"a": entry("F99", [1], 0, 1)}, b"1"),
    "dtype not a string": ({"a": entry(["U8"], [1], 0, 1)}, b"1"),
    "negative shape": ({"a": entry("U8", [-1], 0, 1)}, b"1"),
    "boolean shape": ({"a": entry("U8", [True], 0, 1)}, b"1"),
    "shape larger than its bytes": ({"a": entry("F32", [2], 0, 4)}, b"1234"),
    "huge shape": ({"a": entry("F32", [2**62, 2**62], 0, 4)}, b"1234"),
    "offsets past the end": ({"a": entry("U8", [9], 0, 9)}, b"1"),
    "offsets reversed": ({"a": entry("U8", [1], 1, 0)}, b"1"),
    "overlap": ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"123"),
    "hole": ({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, b"123"),
    "bytes nobody claims": ({"a": entry("U8", [1], 0, 1)}, b"123"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(NymphError, match="not a sound safetensors file"):
        load_tensors(write(tmp_path, *HOSTILE[case]))


@pytest.mark.parametrize("length", [0, 1, 2**40, 2**63, 2**64 - 1])
def test_a_header_length_beyond_the_file_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(NymphError, match="header claims"):
        load_tensors(write(tmp_path, b"{}", length=length))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"x": torch.ones(3), "y": torch.ones(2, dtype=torch.uint8)})
    whole = (tmp_path / "a").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "b").write_bytes(whole[:size])
        with pytest.raises(NymphError):
            load_tensors(tmp_path / "b")


def test_a_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="no such tensor file"):
        load_tensors(tmp_path / "absent")
