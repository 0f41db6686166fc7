"""Flight against the limits of its machine and against other loaders: rows of 2048 16-bit tokens to torch tensors.

    OMP_NUM_THREADS=1 python benchmarks/flight.py [--megabytes 512] [--rounds 5] [--grow-gigabytes 10] [--peers FOLDER]

Limits: a raw socket stream of the same bytes into one reused buffer, sendfile of the Arrow file into memory that
becomes a tensor, and a raw TLS socket. Server and client are two processes on loopback, rounds are interleaved, figures
are medians of ratios within a round; processor seconds are of both sides. `--peers` names a folder for a virtual
environment with mosaicml-streaming, webdataset and datasets, made at first use; without it those figures are null.
The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from flight_limits import read_raw, read_sendfile, read_tls
from peers import environment

from nymph.flight.certificates import CertificateFiles, make_certificates
from nymph.flight.source import open_source
from nymph.flight.tickets import Ticket
from nymph.flight.torch_dataset import tensors

LENGTH = 2048
ROW_BYTES = 2 * LENGTH
CONSUMER_TOKENS_PER_SECOND = 500_000
CLIENT_SHARE = 8
SERVER = """
import json, sys
from pathlib import Path
from nymph.flight.listening import Tls
from nymph.flight.server import FlightServer
folder, certificate, key = json.loads(sys.argv[1])
tls = Tls(Path(certificate), Path(key)) if certificate else None
server = FlightServer({"rows": Path(folder)}, port=0, tls=tls)
print(server.port, flush=True)
server.serve()
"""


@dataclass(frozen=True)
class Process:
    """A server process and the port it prints."""

    pid: int
    port: int


@dataclass(frozen=True)
class Measure:
    """One read of all rows."""

    seconds: float
    server_cpu: float
    client_cpu: float


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as home:
        folder = Path(home) / "rows"
        write_rows(folder, options.megabytes * 2**20 // ROW_BYTES)
        files = make_certificates(Path(home) / "certificates", ["localhost", "127.0.0.1"])
        figures = measure(folder, files, options)
        figures |= peers(folder, options)
    print(json.dumps(figures))


def measure(folder: Path, files: CertificateFiles, options: argparse.Namespace) -> dict[str, Any]:
    with flight_server(folder) as plain, flight_server(folder, files) as secure:
        address = f"grpc://127.0.0.1:{plain.port}/rows"
        open_source(address)  # makes the cache
        cache = next((folder / ".arrow").glob("*.arrow"))
        with limit_server(cache, files) as limits:
            figures = against_limits(address, secure, plain, limits, files, options.rounds, cache)
        figures["data_wait"] = data_wait(address)
        figures["first_batch_ms"] = median(first_batch_ms(address) for _ in range(10))
        figures["rss_growth_mib"] = rss_growth_mib(address, plain, options.grow_gigabytes)
        figures["clients_64_ok"] = clients_ok(address, 64)
    return figures


def against_limits(
    address: str,
    secure: Process,
    plain: Process,
    limits: Process,
    files: CertificateFiles,
    rounds: int,
    cache: Path,
) -> dict[str, Any]:
    """Ratios within each round to a raw socket stream, and processor seconds per GB."""
    source = open_source(address)
    tls = open_source(f"grpc+tls://localhost:{secure.port}/rows", ca_file=str(files.authority))
    size = cache.stat().st_size
    memory = np.empty(size, np.uint8)
    reads: dict[str, tuple[Callable[[], object], Process]] = {
        "raw socket": (lambda: read_raw(limits.port), limits),
        "sendfile to tensors": (lambda: read_sendfile(limits.port, memory), limits),
        "Flight, file order": (lambda: read_rows(source, shuffle=False), plain),
        "Flight, global shuffle": (lambda: read_rows(source, shuffle=True), plain),
        "raw TLS socket": (lambda: read_tls(limits.port, str(files.authority)), limits),
        "Flight over TLS, file order": (lambda: read_rows(tls, shuffle=False), secure),
    }
    measures: dict[str, list[Measure]] = {name: [] for name in reads}
    for number in range(rounds + 1):
        for name, (read, server) in reads.items():
            result = timed(read, server.pid)
            if number:  # the first round warms up
                measures[name].append(result)
    print_table(measures, size)

    def ratio(name: str, limit: str) -> float:
        pairs = zip(measures[limit], measures[name], strict=True)
        return round(median(slow.seconds / fast.seconds for slow, fast in pairs), 3)

    def cpu(name: str) -> float:
        return median(each.server_cpu + each.client_cpu for each in measures[name])

    return {
        "shuffle_vs_tcp": ratio("Flight, global shuffle", "raw socket"),
        "sequential_vs_tcp": ratio("Flight, file order", "raw socket"),
        "tls_vs_tls_socket": ratio("Flight over TLS, file order", "raw TLS socket"),
        "shuffle_cpu_vs_sendfile": round(cpu("Flight, global shuffle") / cpu("sendfile to tensors"), 2),
        "sequential_cpu_vs_sendfile": round(cpu("Flight, file order") / cpu("sendfile to tensors"), 2),
    }


def print_table(measures: dict[str, list[Measure]], size: int) -> None:
    gigabytes = size / 1e9
    print(f"{'':30}{'MB/s':>8}{'Mtok/s':>8}{'CPU s/GB server':>17}{'client':>8}")
    for name, values in measures.items():
        speed = median(size / each.seconds for each in values)
        server, client = (median(getattr(each, side) for each in values) for side in ("server_cpu", "client_cpu"))
        print(f"{name:30}{speed / 1e6:8.0f}{speed / 2e6:8.0f}{server / gigabytes:17.2f}{client / gigabytes:8.2f}")


def read_rows(source: Any, shuffle: bool, batch_rows: int = 0, epoch: int = 0) -> int:
    """Every row of an epoch as a tensor [rows, LENGTH]; the number of rows."""
    rows = 0
    for batch in source.batches(Ticket("any", epoch=epoch, shuffle=shuffle, batch_rows=batch_rows)):
        rows += len(tensors(batch)["tokens"])
    assert rows == source.rows
    return rows


def data_wait(address: str, seconds: float = 15.0, batch_rows: int = 64) -> float:
    """Share of its time that a consumer of half a million tokens a second waits; it keeps one core busy itself."""
    source, step, waited = open_source(address), batch_rows * LENGTH / CONSUMER_TOKENS_PER_SECOND, 0.0
    batches = source.batches(Ticket("any", batch_rows=batch_rows))
    next(batches)
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        asked = time.perf_counter()
        tokens = tensors(next(batches))["tokens"]
        waited += time.perf_counter() - asked
        work(tokens, step)
    share = waited / (time.perf_counter() - begin)
    source.close()
    print(f"data wait: {share:.4%} of a consumer's time at {CONSUMER_TOKENS_PER_SECOND} tokens/s")
    return round(share, 6)


def work(tokens: torch.Tensor, seconds: float) -> None:
    """Multiply matrices for that long."""
    matrix = tokens.view(-1)[: 256 * 64].view(256, 64).float()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        matrix @ matrix.T


def first_batch_ms(address: str) -> float:
    begin = time.perf_counter()
    source = open_source(address)
    next(source.batches(Ticket("any", batch_rows=16)))
    elapsed = 1000 * (time.perf_counter() - begin)
    source.close()
    return round(elapsed, 1)


def rss_growth_mib(address: str, server: Process, gigabytes: float) -> float:
    """Growth of both processes' own memory from the first GB served to the last."""
    source = open_source(address)
    epoch_bytes, served, epoch = source.rows * ROW_BYTES, 0, 0
    first: float | None = None
    while served < gigabytes * 1e9:
        read_rows(source, shuffle=True, epoch=epoch)
        served, epoch = served + epoch_bytes, epoch + 1
        if first is None and served >= 1e9:
            first = own_mib(server.pid) + own_mib(os.getpid())
    growth = own_mib(server.pid) + own_mib(os.getpid()) - (first or 0.0)
    print(f"memory: {growth:+.1f} MiB in both processes over {served / 1e9:.1f} GB")
    return round(growth, 1)


def own_mib(pid: int) -> float:
    """Memory that is no file's: the mapped cache is the page cache's."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def clients_ok(address: str, clients: int) -> bool:
    """Whether so many clients at once each get every row of their part, an eighth of the table in their own order."""
    counts: list[int] = []

    def read(seed: int) -> None:
        source = open_source(address, prefetch=1)
        wanted = source.rows // CLIENT_SHARE
        ticket = Ticket("any", seed=seed, stop=wanted)
        if sum(batch.num_rows for batch in source.batches(ticket)) == wanted:
            counts.append(wanted)

    threads = [threading.Thread(target=read, args=[seed]) for seed in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(counts)} of {clients} clients got all their rows in {time.perf_counter() - begin:.1f} s")
    return len(counts) == clients


def peers(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    names = ["mosaic_streaming", "webdataset_http", "hf_streaming", "hf_mapstyle"]
    if options.peers is None:
        return {f"vs_{name}": None for name in names}
    python = environment(Path(options.peers), ["mosaicml-streaming", "webdataset", "datasets"])
    script = Path(__file__).with_name("flight_peers.py")
    ratios: dict[str, list[float]] = {name: [] for name in names}
    with flight_server(folder) as server, tempfile.TemporaryDirectory(dir=options.folder) as home:
        source = open_source(f"grpc://127.0.0.1:{server.port}/rows")
        subprocess.run([python, script, "prepare", home, folder], check=True)
        for number in range(min(options.rounds, 3)):
            for name in names:
                begin = time.perf_counter()
                read_rows(source, shuffle=True, batch_rows=16, epoch=number)
                ours = source.rows / (time.perf_counter() - begin)
                answer = subprocess.run([python, script, name, home, folder], check=True, stdout=subprocess.PIPE)
                theirs = float(answer.stdout.split()[-1])
                ratios[name].append(ours / theirs)
                print(f"{name:20}{theirs * ROW_BYTES / 1e6:8.0f} MB/s, Flight {ours * ROW_BYTES / 1e6:8.0f} MB/s")
    return {f"vs_{name}": round(median(values), 1) for name, values in ratios.items()}


def timed(read: Callable[[], object], server: int) -> Measure:
    before, mine, begin = cpu_seconds(server), cpu_seconds(os.getpid()), time.perf_counter()
    read()
    seconds = time.perf_counter() - begin
    return Measure(seconds, cpu_seconds(server) - before, cpu_seconds(os.getpid()) - mine)


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def write_rows(folder: Path, rows: int) -> None:
    """Zipf-like token ids, as a language has them, in shards of 64 MiB."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number, first in enumerate(range(0, rows, 16_384)):
        count = min(16_384, rows - first)
        tokens = (32_000 ** generator.random(count * LENGTH)).astype(np.uint16)
        table = pa.table({"tokens": pa.FixedSizeListArray.from_arrays(pa.array(tokens), LENGTH)})
        pq.write_table(table, folder / f"{number:05}.parquet", row_group_size=1024, write_page_checksum=True)


@contextmanager
def flight_server(folder: Path, files: CertificateFiles | None = None) -> Iterator[Process]:
    secrets = [str(files.server), str(files.server_key)] if files else [None, None]
    with started([sys.executable, "-c", SERVER, json.dumps([str(folder), *secrets])]) as process:
        yield process


@contextmanager
def limit_server(cache: Path, files: CertificateFiles) -> Iterator[Process]:
    script = Path(__file__).with_name("flight_limits.py")
    with started([sys.executable, str(script), str(cache), str(files.server), str(files.server_key)]) as process:
        yield process


@contextmanager
def started(command: list[str]) -> Iterator[Process]:
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        yield Process(child.pid, int(child.stdout.readline()))
    finally:
        child.terminate()
        child.wait()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--grow-gigabytes", type=float, default=10.0)
    parser.add_argument("--peers", help="folder of the peers' virtual environment, made where it is missing")
    parser.add_argument("--folder", help="where to put the rows; a temporary folder by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
