"""The safetensors format on torch and the standard library: tensors on disk without pickle.

Files are interchangeable with the safetensors library. `load_tensors` maps the file copy-on-write, so loading costs
page faults rather than a copy; it checks every claim of the header before touching data, because a file may come
from another person. It does not look at the values: bit rot is found by the sha256 that `save_tensors` returns.

Format: https://github.com/huggingface/safetensors#format - 8 bytes little-endian header length, JSON header, data.
"""

import hashlib
import json
import math
import os
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from nymph.errors import NymphError
from nymph.files import atomic_file

HEADER_LIMIT = 100_000_000
"""Largest header in bytes, the safetensors library's own limit."""

PIECE = 1 << 22
"""Bytes written and hashed at a time: they fit the cache, and a slow writer can rest after each."""

_DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool, "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_ENTRY_KEYS = {"dtype", "shape", "data_offsets"}

assert sys.byteorder == "little", "the safetensors data are little-endian and are mapped as they are"


def save_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    after_piece: Callable[[int], None] | None = None,
) -> str:
    """Write `tensors` atomically as one safetensors file.

    Args:
        path: The file to make or replace.
        tensors: Any shapes, strides and devices; tensors that share memory are written out each.
        metadata: Strings kept in the header, read back by `read_metadata`.
        after_piece: Told the size of each few MiB of tensors that were given to the system; it may take its time.

    Returns:
        The hex sha256 of the file, computed while writing.

    Raises:
        NymphError: A dtype the format does not know, or metadata that are not strings.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header = _encode_header({name: tensors[name] for name in order}, metadata or {})
    digest = hashlib.sha256()
    with atomic_file(path) as file:
        for block in [struct.pack("<Q", len(header)), header]:
            file.write(block)
            digest.update(block)
        for name in order:
            data = _bytes_of(tensors[name])
            for piece in (data[start : start + PIECE] for start in range(0, len(data), PIECE)):
                file.write(piece)
                digest.update(piece)
                if after_piece:
                    _begin_to_store(file, len(piece))
                    after_piece(len(piece))
    return digest.hexdigest()


def load_tensors(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """The tensors of a safetensors file, memory-mapped copy-on-write on the CPU, copied to any other device.

    Raises:
        NymphError: The file is missing, or its header is too large, malformed, or does not describe exactly the
            bytes that follow it.
    """
    header, start, size = _open_header(path)
    entries = _checked_entries(path, header, size - start)
    raw = _map(path, size)
    return {name: _view(raw, entry, start).to(device) for name, entry in entries.items()}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata strings in a safetensors file's header; the tensors are not read."""
    header, _, _ = _open_header(path)
    return dict(header.get("__metadata__", {}))


def _encode_header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
            raise NymphError(f"safetensors metadata must map strings to strings, got {dict(metadata)!r}")
        header["__metadata__"] = dict(metadata)
    stop = 0
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES:
            raise NymphError(f"tensor {name!r} is {tensor.dtype}, which safetensors cannot hold; convert it first")
        start, stop = stop, stop + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, stop]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8)  # so that every tensor is aligned in the mapped file


def _bytes_of(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def _begin_to_store(file: IO[bytes], size: int) -> None:
    """Have the last `size` bytes sent to the disk from now on, so that the final fsync is not one burst of them all."""
    if sys.platform == "linux":  # there the advice starts the writing, and what is being written stays cached
        os.posix_fadvise(file.fileno(), file.tell() - size, size, os.POSIX_FADV_DONTNEED)


def _open_header(path: str | os.PathLike[str]) -> tuple[dict[str, Any], int, int]:
    """Header, offset of the data and size of the file."""
    if not Path(path).is_file():
        raise NymphError(f"no such tensor file: {os.fspath(path)!r}")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = _header_length(path, file, size)
        return _parse_header(path, file.read(length)), 8 + length, size


def _header_length(path: str | os.PathLike[str], file: IO[bytes], size: int) -> int:
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 2 <= length <= min(size - 8, HEADER_LIMIT):
        raise _bad(path, f"its header claims {length} bytes in a file of {size}")
    return int(length)


def _parse_header(path: str | os.PathLike[str], text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"its header is not JSON ({type(error).__name__})") from None
    if text[:1] != b"{" or not isinstance(header, dict):
        raise _bad(path, "its header is not a JSON object")
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _bad(path, "its metadata are not strings")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _checked_entries(path: str | os.PathLike[str], header: dict[str, Any], size: int) -> dict[str, Any]:
    """The tensors' entries, if they are well formed and tile the `size` data bytes without hole or overlap."""
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    for name, entry in entries.items():
        _check_entry(path, name, entry)
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        if start != end:
            raise _bad(path, f"tensor {name!r} starts at byte {start}, expected {end}")
        end = stop
    if end != size:
        raise _bad(path, f"its tensors need {end} bytes, the file holds {size}")
    return entries


def _check_entry(path: str | os.PathLike[str], name: str, entry: Any) -> None:
    if not isinstance(entry, dict) or set(entry) != _ENTRY_KEYS or str(entry["dtype"]) not in _DTYPES:
        raise _bad(path, f"tensor {name!r} needs a known dtype, a shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not (_naturals(shape) and _naturals(offsets) and len(offsets) == 2):
        raise _bad(path, f"tensor {name!r} has a shape or offsets that are not whole numbers")
    need = math.prod(shape) * _DTYPES[entry["dtype"]].itemsize
    if offsets[1] - offsets[0] != need:
        raise _bad(path, f"tensor {name!r} of shape {shape!r} needs {need} bytes, has {offsets[1] - offsets[0]}")


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 64 and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _map(path: str | os.PathLike[str], size: int) -> Tensor:
    storage = torch.UntypedStorage.from_file(os.fspath(path), shared=False, nbytes=size)
    return torch.empty(0, dtype=torch.uint8).set_(storage)  # type: ignore[arg-type]


def _view(raw: Tensor, entry: dict[str, Any], start: int) -> Tensor:
    dtype = _DTYPES[entry["dtype"]]
    first, last = (start + offset for offset in entry["data_offsets"])
    if first == last:
        return torch.empty(entry["shape"], dtype=dtype)
    data = raw[first:last]
    if first % dtype.itemsize:  # other writers need not align
        data = data.clone()
    return data.view(dtype).reshape(entry["shape"])


def _bad(path: str | os.PathLike[str], reason: str) -> NymphError:
    return NymphError(f"{os.fspath(path)!r} is not a sound safetensors file: {reason}; use another copy")
