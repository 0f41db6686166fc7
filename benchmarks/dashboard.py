"""What the dashboard costs: its clients' lag, the trainer's steps, and the page's drawing.

`p99_ms` is the whole way, from before a step is written to the log until a client has read it, over all clients and
updates; `spread_p99_ms` is how much later than the first client the others get the same message.
The trainer's steps are timed in interleaved rounds with the clients connected and without.
Last line: JSON {clients, p99_ms, step_time_increase, draw_100k_ms, ...}.
"""

import argparse
import asyncio
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from websockets.asyncio.client import connect

from nymph.training.events import EVENTS, EventLog

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

    def __init__(self, address: str, clients: int) -> None:
        command = [sys.executable, __file__, "--crowd", address, "--clients", str(clients)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.connected_seconds = float(self._process.stdout.readline())

    def leave(self) -> dict[int, list[float]]:
        """Step -> arrival times (CLOCK_MONOTONIC seconds), one a client."""
        out, _ = self._process.communicate("\n")
        return {int(step): times for step, times in json.loads(out).items()}


async def crowd(address: str, clients: int) -> None:
    """The clients' side."""
    arrivals: dict[int, list[float]] = {}
    ready = 0
    gate = asyncio.Semaphore(50)
    done = asyncio.Event()

    async def one() -> None:
        nonlocal ready
        async with gate:
            client = await connect(f"ws://{address}/live", origin=f"http://{address}", compression=None)  # type: ignore[arg-type]
            await client.recv()
            await client.send('{"watch": {"live": null}}')
            await client.recv()
            ready += 1
            if ready == clients:
                done.set()
        async for text in client:
            now = time.monotonic()
            step = json.loads(text)["points"][0]["series"]["train/loss"][0][-1]
            arrivals.setdefault(step, []).append(now)

    began = time.monotonic()
    tasks = [asyncio.create_task(one()) for _ in range(clients)]
    await done.wait()
    print(time.monotonic() - began, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(arrivals))
    for task in tasks:
        task.cancel()


def train(log: EventLog, step: int, seconds: float) -> tuple[list[float], int]:
    """Steps of matrix products, one logged each second; their durations and the last step."""
    a = np.random.default_rng(0).standard_normal((256, 256))
    durations, logged, end = [], time.monotonic(), time.monotonic() + seconds
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
            time.sleep(1)
        time.sleep(2)
        cpu = _cpu(pid) - before
        arrivals = everyone.leave()
    spread = [1000 * (at - min(times)) for times in arrivals.values() for at in times]
    lag = [1000 * (at - wrote[step]) for step, times in arrivals.items() for at in times if step in wrote]
    return {
        "connected_s": everyone.connected_seconds,
        "delivered_share": len(lag) / (clients * updates),
        "p50_ms": float(np.percentile(lag, 50)),
        "p99_ms": float(np.percentile(lag, 99)),
        "spread_p99_ms": float(np.percentile(spread, 99)),
        "server_cpu_ms_per_update": 1000 * cpu / updates,
    }


def step_time_increase(runs: Path, rounds: int) -> float:
    """Median over interleaved rounds of (median step with a dashboard and three pages / median step without) - 1."""
    ratios, step = [], 2000
    with EventLog(runs / "live" / EVENTS) as log, dashboard(runs) as (address, pid):
        server = psutil.Process(pid)
        pages = Crowd(address, 3)
        for _ in range(rounds):
            server.suspend()
            alone, step = train(log, step, 2)
            server.resume()
            time.sleep(0.3)  # it reads what it missed
            watched, step = train(log, step, 2)
            ratios.append(statistics.median(watched) / statistics.median(alone))
        pages.leave()
    return statistics.median(ratios) - 1


def draw_milliseconds(runs: Path) -> tuple[float, float]:
    """Median redraw of a page that shows a run of 100,000 steps, and the page's heap in MB; NaN without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return float("nan"), float("nan")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
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
        figures["step_time_increase"] = step_time_increase(runs, rounds)
        long = Path(folder) / "long"
        write_run(long, "long", 100_000)
        figures["draw_100k_ms"], figures["page_mb"] = draw_milliseconds(long)
    return figures


def main() -> None:
    """The command line; `--crowd` is how it starts its own clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--crowd", help=argparse.SUPPRESS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * options.clients + 200)), hard))
    if options.crowd:
        asyncio.run(crowd(options.crowd, options.clients))
        return
    figures = measure(options.clients, options.updates, options.rounds)
    for name, value in figures.items():
        print(f"{name:28} {value:12.3f}")
    print(json.dumps({name: round(value, 4) if value == value else None for name, value in figures.items()}))


if __name__ == "__main__":
    main()
