"""Other loaders on the same rows, for `flight.py`: each prints its rows per second to torch tensors, shuffled.

    python flight_peers.py prepare HOME ROWS; python flight_peers.py mosaic_streaming HOME ROWS

Every loader gives batches of 16 rows and stops after `--seconds`, start-up apart: the slow ones would take minutes.
MosaicML Streaming has no plain HTTP remote and reads a local copy, which favours it; WebDataset and Hugging Face
streaming read from an HTTP server of the standard library on loopback; Hugging Face map-style reads its local cache.
"""

import argparse
import functools
import itertools
import os
import shutil
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
SECONDS = 4.0


def prepare(home: Path, folder: Path) -> None:
    """The first shards of the same rows in each loader's own format."""
    import webdataset
    from datasets import Dataset
    from streaming import MDSWriter

    shutil.copytree(folder, home / "parquet", ignore=lambda _, names: [name for name in names if name[0] == "."])
    shards = sorted((home / "parquet").glob("*.parquet"))[:4]
    with MDSWriter(out=str(home / "mds"), columns={"tokens": f"ndarray:uint16:{LENGTH}"}, compression=None) as writer:
        for row in rows_of(shards):
            writer.write({"tokens": row})
    with webdataset.ShardWriter(str(home / "rows-%05d.tar"), maxcount=8192, verbose=0) as sink:
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
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if os.fork() == 0:
        parent = os.getppid()
        threading.Thread(target=_end_with, args=[parent], daemon=True).start()
        server.serve_forever()
    return f"http://127.0.0.1:{server.server_address[1]}"


class _Quiet(SimpleHTTPRequestHandler):
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
