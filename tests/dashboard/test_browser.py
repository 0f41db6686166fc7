"""The page in a real browser: live, after a restart, compared, on a phone, and under attack.

Needs Debian's `chromium` and the npm packages (`npm ci`); without them these tests say so and are skipped.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from nymph.dashboard.assets import find_chart
from nymph.dashboard.serve import _listen
from nymph.errors import NymphError

from .conftest import open_log, write_steps

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ATTACKS = [
    "<img src=x onerror=document.title='PWNED'>",
    "<script>document.title='PWNED'</script>",
    "</script><script>document.title='PWNED'</script>",
    "<svg onload=document.title='PWNED'>",
    "javascript:document.title='PWNED'",
    "'\"><iframe srcdoc=\"<script>parent.document.title='PWNED'</script>\">",
    "<a href=javascript:document.title='PWNED' autofocus onfocus=document.title='PWNED'>x</a>",
    "{{constructor.constructor('document.title=1')()}}",
    "\u202e<b>right to left</b>\x1b]0;PWNED\x07",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        find_chart()
    except NymphError as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Server:
    """A dashboard that can be stopped and started again at the same address."""

    def __init__(self, runs: Path) -> None:
        listener = _listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        listener.close()
        self.address = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "nymph.dashboard", str(runs), "--port", str(self.port)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self.address in self._process.stdout.readline()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def server(runs: Path) -> Iterator[Server]:
    server = Server(runs)
    yield server
    server.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


def test_a_step_written_now_is_seen_now(page: Page, server: Server, runs: Path) -> None:
    page.goto(server.address)
    expect(page.locator("#focus")).to_contain_text("Step 10 of 100")
    with open_log(runs) as log:
        write_steps(log, 11, 42)
    expect(page.locator("#focus")).to_contain_text("Step 42 of 100")
    expect(page.locator("canvas").first).to_have_attribute("aria-label", "Loss by step; latest: first train 0.02381")


def test_a_restart_of_the_server_loses_nothing(page: Page, server: Server, runs: Path) -> None:
    page.goto(server.address)
    expect(page.locator("#focus")).to_contain_text("Step 10 of 100")
    server.stop()
    expect(page.locator("#connection")).to_contain_text("lost")
    with open_log(runs) as log:
        write_steps(log, 11, 20)
    server.start()
    expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
    expect(page.locator("#focus")).to_contain_text("Step 20 of 100")


def test_two_runs_are_drawn_over_each_other(page: Page, server: Server, runs: Path) -> None:
    with open_log(runs, "second") as log:
        log.write("start", run="second", step=0, total_steps=100)
        write_steps(log, 1, 5, lambda step: 2.0 * step)
    page.goto(server.address)
    page.get_by_role("button", name="first").click()
    expect(page.locator(".run[aria-pressed=true]")).to_have_count(2)
    label = page.locator("canvas").first
    expect(label).to_have_attribute("aria-label", "Loss by step; latest: second train 10, first train 0.1")


def test_only_the_settings_that_differ_are_told(page: Page, server: Server, runs: Path) -> None:
    for run, rate in (("slow", 0.1), ("fast", 0.5)):
        with open_log(runs, run) as log:
            log.write("start", run=run, step=0, total_steps=9, job={"seed": 7, "optimiser": {"learning_rate": rate}})
            write_steps(log, 1, 3)
    page.goto(server.address)
    page.get_by_role("button", name="slow").click()
    expect(page.locator("#settings-rows tr")).to_have_count(1)
    expect(page.locator("#settings-rows")).to_have_text("optimiser.learning_rate0.50.1")


def test_an_alert_and_a_checkpoint_appear(page: Page, server: Server, runs: Path) -> None:
    page.goto(server.address)
    with open_log(runs) as log:
        log.write("alert", step=10, rule="nan", message="loss is not finite; step skipped")
        log.write("checkpoint", step=10, path="checkpoints/step-10", bytes=1500, seconds=0.5, best=True)
    expect(page.locator("#alert-list")).to_contain_text("step skipped")
    expect(page.locator("#checkpoint-rows")).to_contain_text("10best")


def test_zoom_shows_the_stretch_and_comes_back(page: Page, server: Server) -> None:
    page.goto(server.address)
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60)
    page.mouse.up()
    expect(page.locator("#reset")).to_be_visible()
    page.keyboard.press("0")
    expect(page.locator("#reset")).to_be_hidden()


def test_keys_change_the_view_and_the_view_is_remembered(page: Page, server: Server) -> None:
    page.goto(server.address)
    page.keyboard.press("l")
    page.keyboard.press("s")
    page.reload()
    expect(page.locator("#log")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#smoothing-value")).to_have_text("0.10")


def test_hostile_words_stay_words(page: Page, server: Server, runs: Path) -> None:
    foreign: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(server.address) else foreign.append(request.url))
    for number, attack in enumerate(ATTACKS):
        with open_log(runs, f"{number} {attack.replace('/', '_')}"[:60]) as log:
            log.write("start", run=attack, step=0, total_steps=3, device=attack, parameters=attack)
            log.write("step", step=1, loss=1.0, losses={attack: 1.0}, **{attack: 2.0})
            log.write("alert", step=1, rule=attack, message=attack)
            log.write("sample", step=1, text=attack)
            log.write("checkpoint", step=1, path=attack, bytes=1, seconds=1.0, best=False)
            log.write("end", step=1, status=attack, reason=attack)
    page.goto(server.address)
    expect(page.locator(".run")).to_have_count(1 + len(ATTACKS))
    for _ in range(8):
        page.locator(".run[aria-pressed=false]").first.click()
    expect(page.locator("#alert-list")).to_contain_text("onerror=")
    assert page.title() == "Nymph"
    assert foreign == []


@pytest.mark.parametrize("width", [320, 390, 768, 1920])
def test_nothing_sticks_out_at_any_width(page: Page, server: Server, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(server.address)
    expect(page.locator("#focus")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, server: Server, runs: Path, scheme: str) -> None:
    axe = find_chart().parents[2] / "axe-core" / "axe.min.js"
    if not axe.exists():
        pytest.skip("axe-core is not installed (npm ci)")
    with open_log(runs) as log:
        log.write("alert", step=10, rule="nan", message="loss is not finite")
        log.write("checkpoint", step=10, path="checkpoints/step-10", bytes=1500, seconds=0.5, best=True)
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(server.address)
    expect(page.locator("#checkpoint-rows")).to_contain_text("best")
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run().then(result => result.violations)")
    page.close()
    serious = [{v["id"]: [n["html"] for n in v["nodes"]]} for v in found if v["impact"] in ("serious", "critical")]
    assert serious == [], json.dumps(serious, indent=1)
