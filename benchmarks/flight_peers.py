"""Other loaders on the same rows, for `flight.py`: each prints its rows per second to torch tensors, shuffled.

    python flight_peers.py prepare HOME ROWS; python flight_peers.py mosaic_streaming HOME ROWS

Every loader gives batches of 16 rows and stops after `--seconds`, start-up apart: the slow ones would take minutes.
MosaicML Streaming has no plain HTTP remote and reads a local copy, which favours it; WebDataset and Hugging Face
streaming read from an HTTP server of the standard library on loopback; Hugging Face map-style reads its local cache.
"""

import argparse
import contextlib
import functools
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "MOSAICML_STREAMING_TELEMETRY": "0"}

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

LENGTH, BATCH = 2048, 16
ROWS = 8192
SECONDS = 4.0


def prepare(home: Path, folder: Path) -> None:
    """The first of the same rows in each loader's own format."""
    import webdataset
    from datasets import Dataset
    from streaming import MDSWriter

    (home / "parquet").mkdir()
    shards = [home / "parquet" / "rows.parquet"]
    first = pq.ParquetFile(min(folder.glob("*.parquet"))).iter_batches(batch_size=ROWS)
    pq.write_table(pa.Table.from_batches([next(first)]), shards[0], row_group_size=1024)
    with MDSWriter(out=str(home / "mds"), columns={"tokens": f"ndarray:uint16:{LENGTH}"}, compression=None) as writer:
        for row in rows_of(shards):
            writer.write({"tokens": row})
    with webdataset.ShardWriter(str(home / "rows-%05d.tar"), maxcount=2048, verbose=0) as sink:
        for number, row in enumerate(rows_of(shards)):
            sink.write({"__key__": f"{number:08}", "tokens.npy": row})
    Dataset.from_parquet([str(path) for path in shards], cache_dir=str(home / "cache")).save_to_disk(
        str(home / "arrow")
    )


def mosaic_streaming(home: Path) -> Iterable[Any]:
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader

    dataset = StreamingDataset(local=str(home / "mds"), shuffle=True, batch_size=BATCH, shuffle_seed=1)
    return DataLoader(dataset, batch_size=BATCH)


def webdataset_http(home: Path) -> Iterable[Any]:
    import webdataset

    address = serve(home)
    urls = [f"{address}/{path.name}" for path in sorted(home.glob("rows-*.tar"))]
    shuffled = webdataset.WebDataset(urls, shardshuffle=len(urls), handler=webdataset.reraise_exception).shuffle(1000)
    return shuffled.decode().to_tuple("tokens.npy").batched(BATCH)


def hf_streaming(home: Path) -> Iterable[Any]:
    from datasets import load_dataset
    from torch.utils.data import DataLoader

    address = serve(home / "parquet")
    urls = [f"{address}/{path.name}" for path in sorted((home / "parquet").glob("*.parquet"))]
    dataset = load_dataset("parquet", data_files=urls, split="train", streaming=True, cache_dir=str(home / "cache"))
    return DataLoader(dataset.shuffle(seed=1, buffer_size=1000).with_format("torch"), batch_size=BATCH)


def hf_mapstyle(home: Path) -> Iterable[Any]:
    from datasets import load_from_disk

    dataset = load_from_disk(str(home / "arrow")).with_format("torch")
    order = np.random.default_rng(1).permutation(len(dataset))
    return (dataset[order[at : at + BATCH]] for at in range(0, len(order), BATCH))


LOADERS = {loader.__name__: loader for loader in (mosaic_streaming, webdataset_http, hf_streaming, hf_mapstyle)}


def rows_per_second(batches: Iterable[Any], seconds: float) -> float:
    """Rows as tensors a second from the second batch on."""
    rest = iter(batches)
    tensor_of(next(rest))
    begin, rows = time.perf_counter(), 0
    for batch in itertools.takewhile(lambda _: time.perf_counter() - begin < seconds, rest):
        rows += len(tensor_of(batch))
    return rows / (time.perf_counter() - begin)


def tensor_of(batch: Any) -> torch.Tensor:
    tokens = batch["tokens"] if isinstance(batch, dict) else batch[0]
    tensor = tokens if isinstance(tokens, torch.Tensor) else torch.as_tensor(np.asarray(tokens))
    assert tensor.shape[1] == LENGTH
    return tensor


def rows_of(shards: list[Path]) -> Iterable[np.ndarray]:
    for shard in shards:
        for batch in pq.ParquetFile(shard).iter_batches():
            yield from pa.Array.to_numpy(batch["tokens"].flatten()).reshape(-1, LENGTH)


def serve(folder: Path) -> str:
    """An HTTP server of `folder` in a thread-per-request process of its own; its address."""
    handler = functools.partial(_Ranges, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # loaders that stop hang up
    if os.fork() == 0:
        parent = os.getppid()
        threading.Thread(target=_end_with, args=[parent], daemon=True).start()
        server.serve_forever()
    return f"http://127.0.0.1:{server.server_address[1]}"


class _Ranges(SimpleHTTPRequestHandler):
    """Files and ranges of them, as any object store gives them."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        size = path.stat().st_size
        wanted = self.headers.get("Range")
        first, _, last = (wanted or "bytes=0-").removeprefix("bytes=").partition("-")
        begin, end = int(first), min(int(last or size - 1), size - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin + 1))
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        self.end_headers()
        with path.open("rb") as file, contextlib.suppress(ConnectionError):
            self.connection.sendfile(file, begin, end - begin + 1)

    def end_headers(self) -> None:
        if self.command == "HEAD":
            self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["prepare", *LOADERS])
    parser.add_argument("home", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "prepare":
        prepare(options.home, options.rows)
    else:
        print(rows_per_second(LOADERS[options.what](options.home), options.seconds))
    sys.stdout.flush()
    os._exit(0)  # loaders' threads would keep it waiting


if __name__ == "__main__":
    main()
