"""What the dashboard costs: its clients' lag, the trainer's steps, and the page's drawing.

`p99_ms` is the whole way, from before a step is written to the log until its bytes are at a client, over all clients
and updates; `spread_p99_ms` is how much later than the first client the others get the same message. The clients live
in one process on the same cores and do little but note the time: a page spends its own machine's time.
The trainer's steps are timed in short rounds, by turns with the clients served and with the server suspended.
`deaf_*`: twenty clients read large updates beside twenty that read nothing (W2): the longest lag of an update, also
without those twenty (up to half a second of it is the rest that pages get after news), and how much more memory the
server holds because of them.
Last line: JSON {clients, p99_ms, step_time_increase, draw_100k_ms, ...}.
"""

import argparse
import asyncio
import base64
import json
import os
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil

from nymph.training.events import EVENTS, EventLog

WATCH = b'{"watch": {"live": null}}'
STEP = {"losses": {"next_token": 2.5, "masked_modality": 0.3}, "learning_rate": 3e-4, "gradient_norm": 1.0}


@contextmanager
def dashboard(runs: Path) -> Iterator[tuple[str, int]]:
    """Address and process id of a dashboard over `runs`."""
    command = [sys.executable, "-m", "nymph.dashboard", str(runs), "--port", "18787"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().split("http://")[1].split()[0]
    try:
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def write_run(runs: Path, name: str, steps: int) -> None:
    with EventLog(runs / name / EVENTS) as log:
        log.write("start", run=name, step=0, total_steps=2 * steps, parameters=1, device="cpu", world=1)
        for step in range(1, steps + 1):
            log.write("step", step=step, loss=10 / step, tokens_per_second=1e4, **STEP)


class Crowd:
    """Clients that watch one run, in a process of their own; each writes down when every step reached it."""

    def __init__(self, address: str, clients: int, deaf: int = 0) -> None:
        command = [sys.executable, __file__, "--crowd", address, "--clients", str(clients), "--deaf", str(deaf)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.connected_seconds = float(self._process.stdout.readline())

    def leave(self) -> dict[int, list[float]]:
        """Step -> arrival times (CLOCK_MONOTONIC seconds), one a client."""
        out, _ = self._process.communicate("\n")
        return {int(step): times for step, times in json.loads(out).items()}


class Client(asyncio.Protocol):
    """One WebSocket: asks for everything, notes what came when, and reads no further if it is deaf."""

    def __init__(self, address: str, arrivals: dict[int, list[float]], deaf: bool) -> None:
        self._address, self._arrivals, self._deaf = address, arrivals, deaf
        self._received = bytearray()
        self._open = False
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /live HTTP/1.1", f"Host: {self._address}", f"Origin: http://{self._address}"]
        lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        transport.write("\r\n".join([*lines, f"Sec-WebSocket-Key: {key}", "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._received += data
        if not self._open and (end := self._received.find(b"\r\n\r\n")) >= 0:
            del self._received[: end + 4]
            self._open = True
            self._transport.write(struct.pack("!BB4x", 0x81, 0x80 | len(WATCH)) + WATCH)  # masked with zeros
            if self._deaf:
                self._transport.pause_reading()
                self.ready.set_result(None)
        while self._open and (payload := self._next_payload()) is not None:
            if (step := newest_step(payload)) is not None:
                self._arrivals.setdefault(step, []).append(now)
                if not self.ready.done():
                    self.ready.set_result(None)

    def _next_payload(self) -> bytes | None:
        if len(self._received) < 10:
            return None
        length, start = self._received[1], 2
        if length > 125:
            start = 4 if length == 126 else 10
            length = int.from_bytes(self._received[2:start], "big")
        if len(self._received) < start + length:
            return None
        payload = bytes(self._received[start : start + length])
        del self._received[: start + length]
        return payload


@lru_cache(8)
def newest_step(payload: bytes) -> int | None:
    """Of an update with points; most clients get the same bytes."""
    points = json.loads(payload)["points"] if payload.startswith(b"{") else []
    return int(points[0]["series"]["train/loss"][0][-1]) if points else None


async def crowd(address: str, clients: int, deaf: int) -> None:
    """The clients' side."""
    arrivals: dict[int, list[float]] = {}
    host, _, port = address.partition(":")
    gate = asyncio.Semaphore(50)

    async def one(number: int) -> None:
        async with gate:
            make = lambda: Client(address, arrivals, number >= clients)  # noqa: E731
            _, client = await asyncio.get_running_loop().create_connection(make, host, int(port))
            await client.ready

    began = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(clients + deaf)))
    print(time.monotonic() - began, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(arrivals))


def train(log: EventLog, step: int, seconds: float) -> tuple[list[float], int]:
    """Steps of matrix products, one logged each second; their durations and the last step."""
    a = np.random.default_rng(0).standard_normal((256, 256))
    durations, logged, end = [], 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        for _ in range(10):
            a @ a
        durations.append(time.perf_counter() - began)
        if time.monotonic() - logged >= 1:
            step, logged = step + 1, time.monotonic()
            log.write("step", step=step, loss=10 / step, tokens_per_second=1e4, **STEP)
    return durations, step


def lags(runs: Path, clients: int, updates: int) -> dict[str, float]:
    """Spread and lag of updates a second apart."""
    with dashboard(runs) as (address, pid), EventLog(runs / "live" / EVENTS) as log:
        everyone = Crowd(address, clients)
        before, wrote = _cpu(pid), {}
        for step in range(1001, 1001 + updates):
            wrote[step] = time.monotonic()
            log.write("step", step=step, loss=10 / step, tokens_per_second=1e4, **STEP)
            time.sleep(1 + 0.05 * np.random.default_rng(step).random())  # at any moment between two looks at the log
        time.sleep(2)
        cpu = _cpu(pid) - before
        arrivals = everyone.leave()
    arrivals = {step: times for step, times in arrivals.items() if step in wrote}
    spread = [1000 * (at - min(times)) for times in arrivals.values() for at in times]
    lag = [1000 * (at - wrote[step]) for step, times in arrivals.items() for at in times]
    return {
        "connected_s": everyone.connected_seconds,
        "delivered_share": len(lag) / (clients * updates),
        "p50_ms": float(np.percentile(lag, 50)),
        "p99_ms": float(np.percentile(lag, 99)),
        "spread_p99_ms": float(np.percentile(spread, 99)),
        "server_cpu_ms_per_update": 1000 * cpu / updates,
    }


def beside_the_deaf(folder: Path, deaf: int, updates: int = 8, clients: int = 20) -> tuple[float, float]:
    """Longest lag in ms of updates of a third of a megabyte, and the growth of the server's memory in MB."""
    runs, wrote, steps = folder / f"beside-{deaf}", {}, 600
    write_run(runs, "live", 1)
    with dashboard(runs) as (address, pid), EventLog(runs / "live" / EVENTS) as log:
        everyone = Crowd(address, clients, deaf)
        before = psutil.Process(pid).memory_info().rss
        for update in range(1, updates + 1):
            for step in range(2 + (update - 1) * steps, 2 + update * steps):
                log.write("step", step=step, loss=1.0, losses={f"objective_{i}": step / 7 + i for i in range(40)})
            wrote[step] = time.monotonic()
            time.sleep(1.5)
        grown = psutil.Process(pid).memory_info().rss - before
        arrivals = everyone.leave()
    return max(1000 * (at - wrote[step]) for step in wrote for at in arrivals[step]), grown / 1e6


def step_time_increase(runs: Path, rounds: int) -> dict[str, float]:
    """Median step with a dashboard and three pages / median step without - 1, by rounds of half a second.

    The server is suspended for those without. They are timed twice: how they differ from each other is noise.
    """
    medians: dict[str, list[float]] = {"watched": [], "alone": [], "again": []}
    step, cpu, arms = 2000, 0.0, list(medians)
    with EventLog(runs / "live" / EVENTS) as log, dashboard(runs) as (address, pid):
        server = psutil.Process(pid)
        pages = Crowd(address, 3)
        for number in range(rounds):
            for arm in arms[number % 3 :] + arms[: number % 3]:
                before = _cpu(pid)
                (server.resume if arm == "watched" else server.suspend)()
                time.sleep(0.1)  # it reads what it missed
                durations, step = train(log, step, 0.5)
                medians[arm].append(statistics.median(durations))
                cpu += _cpu(pid) - before
        server.resume()
        pages.leave()
    pairs = list(zip(*medians.values(), strict=True))
    return {
        "step_time_increase": statistics.median(2 * watched / (alone + again) for watched, alone, again in pairs) - 1,
        "step_time_noise": statistics.median(again / alone for _, alone, again in pairs) - 1,
        "server_cpu_share": cpu / (0.6 * rounds),
    }


def draw_milliseconds(runs: Path) -> tuple[float, float]:
    """Median redraw of a page that shows a run of 100,000 steps, and the page's heap in MB; NaN without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return float("nan"), float("nan")
    from playwright.sync_api import sync_playwright

    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]
    with dashboard(runs) as (address, _pid), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"http://{address}")
        page.wait_for_selector("canvas")
        page.wait_for_timeout(3000)
        drawn = []
        for _ in range(15):
            page.keyboard.press("l")
            page.wait_for_timeout(400)
            drawn += page.evaluate("performance.getEntriesByName('nymph:draw').map(entry => entry.duration)")
        heap = page.evaluate("performance.memory.usedJSHeapSize")
        browser.close()
    return statistics.median(drawn), heap / 1e6


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def measure(clients: int, updates: int, rounds: int) -> dict[str, float]:
    """All figures, by name."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        write_run(runs, "live", 1000)
        figures: dict[str, float] = {"clients": clients} | lags(runs, clients, updates)
        figures |= step_time_increase(runs, rounds)
        lag, grown = beside_the_deaf(Path(folder), deaf=20)
        lag_without, grown_without = beside_the_deaf(Path(folder), deaf=0)
        figures |= {"deaf_lag_ms": lag, "without_deaf_lag_ms": lag_without, "deaf_growth_mb": grown - grown_without}
        long = Path(folder) / "long"
        write_run(long, "long", 100_000)
        figures["draw_100k_ms"], figures["page_mb"] = draw_milliseconds(long)
    return figures


def main() -> None:
    """The command line; `--crowd` is how it starts its own clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--crowd", help=argparse.SUPPRESS)
    parser.add_argument("--deaf", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * options.clients + 200)), hard))
    if options.crowd:
        asyncio.run(crowd(options.crowd, options.clients, options.deaf))
        return
    figures = measure(options.clients, options.updates, options.rounds)
    for name, value in figures.items():
        print(f"{name:28} {value:12.3f}")
    print(json.dumps({name: round(value, 4) if value == value else None for name, value in figures.items()}))


if __name__ == "__main__":
    main()
