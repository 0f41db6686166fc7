"""The page in a real browser: live, after a restart, compared, commanded, and on a phone.

Needs Debian's `chromium` and the npm packages (`npm ci`); without them these tests say so and are skipped.
"""

import base64
import json
import re
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from nymph.dashboard.assets import find_chart
from nymph.dashboard.preparation import PREPARATION
from nymph.files import write_json
from nymph.training.control import CONTROL
from nymph.training.events import EVENTS, EventLog, read_events

from .browser import KEY, PATIENCE_MILLISECONDS, Server
from .conftest import open_log, write_steps

pytestmark = pytest.mark.slow


def drawn_chart(page: Page) -> Locator:
    """The first chart, once it is drawn: the cards are in their places, and it can be dragged across."""
    expect(page.locator("canvas").first).to_have_attribute("aria-label", re.compile("latest"))
    return page.locator("canvas").first


def test_a_step_written_now_is_seen_now(page: Page, address: str, runs: Path) -> None:
    page.goto(address)
    expect(page.locator("#focus")).to_contain_text("Step 10 of 100")
    with open_log(runs) as log:
        write_steps(log, 11, 42)
    expect(page.locator("#focus")).to_contain_text("Step 42 of 100")
    expect(page.locator("canvas").first).to_have_attribute("aria-label", "Loss by step; latest: first train 0.02381")


def test_a_restart_of_the_server_loses_nothing(page: Page, runs: Path) -> None:
    with closing(Server(runs)) as server:
        page.goto(server.address)
        expect(page.locator("#focus")).to_contain_text("Step 10 of 100")
        server.stop()
        expect(page.locator("#connection")).to_contain_text("lost")
        with open_log(runs) as log:
            write_steps(log, 11, 20)
        server.start()
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator("#focus")).to_contain_text("Step 20 of 100")


def test_two_runs_are_drawn_over_each_other(page: Page, address: str, runs: Path) -> None:
    with open_log(runs, "second") as log:
        log.write("start", run="second", step=0, total_steps=100)
        write_steps(log, 1, 5, lambda step: 2.0 * step)
    page.goto(address)
    page.get_by_role("button", name="first").click()
    expect(page.locator(".run[aria-pressed=true]")).to_have_count(2)
    label = page.locator("canvas").first
    expect(label).to_have_attribute("aria-label", "Loss by step; latest: second train 10, first train 0.1")


def test_only_the_settings_that_differ_are_told(page: Page, address: str, runs: Path) -> None:
    for run, rate in (("slow", 0.1), ("fast", 0.5)):
        with open_log(runs, run) as log:
            log.write("start", run=run, step=0, total_steps=9, job={"seed": 7, "optimiser": {"learning_rate": rate}})
            write_steps(log, 1, 3)
    page.goto(address)
    page.get_by_role("button", name="slow").click()
    expect(page.locator("#settings-rows tr")).to_have_count(1)
    expect(page.locator("#settings-rows")).to_have_text("optimiser.learning_rate0.50.1")


def test_an_alert_and_a_checkpoint_appear(page: Page, address: str, runs: Path) -> None:
    page.goto(address)
    with open_log(runs) as log:
        log.write("alert", step=10, rule="nan", message="loss is not finite; step skipped")
        log.write("checkpoint", step=10, path="checkpoints/step-10", bytes=1500, seconds=0.5, best=True)
    expect(page.locator("#alert-list")).to_contain_text("step skipped")
    expect(page.locator("#checkpoint-rows")).to_contain_text("10best")


def test_zoom_shows_the_stretch_and_comes_back(page: Page, address: str) -> None:
    page.goto(address)
    canvas = drawn_chart(page)
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60)
    page.mouse.up()
    expect(page.locator("#reset")).to_be_visible()
    page.keyboard.press("0")
    expect(page.locator("#reset")).to_be_hidden()


def test_keys_change_the_view_and_the_view_is_remembered(page: Page, address: str) -> None:
    page.goto(address)
    page.keyboard.press("l")
    page.keyboard.press("s")
    page.reload()
    expect(page.locator("#log")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#smoothing-value")).to_have_text("0.10")


def write_sample(runs: Path, step: int, generated: str = "", **more: object) -> None:
    """A sample with sound, prosody and sentiment, and the line that names it."""
    picture = base64.b64encode(bytes(range(80)) * 16).decode()
    curves = {"f0_hz": [100.0, None, 140.0, 150.0], "energy_db": [-30.0, -20.0, -25.0, None]}
    values = {
        "mel": {"bins": 80, "range": 3.0, "true": picture, "predicted": picture},
        "prosody": {"true": curves, "predicted": curves},
        "sentiment": {"true": "calm", "predicted": {"calm": 0.75, "angry": 0.25}},
        "step": step,
        "prompt": [1, 2],
        "generated": [3],
        "expected": [4],
        "row": 0,
        "document": 1,
        "tokens": [1],
    }
    (runs / "first" / "samples").mkdir(exist_ok=True)
    write_json(runs / "first" / "samples" / f"{step:08d}-0.json", {**values, **more})
    with open_log(runs) as log:
        log.write("sample", step=step, file=f"samples/{step:08d}-0.json", **({"text": generated} if generated else {}))


def test_what_the_model_makes_of_a_document_is_seen(page: Page, address: str, runs: Path) -> None:
    for step in (5, 10):
        write_sample(runs, step)
    page.goto(address)
    sample = page.locator("#sample-list .sample")
    expect(sample).to_contain_text("generated#3in truth#4")
    expect(sample.locator("canvas.mel")).to_have_count(2)
    expect(sample.get_by_role("img", name="Pitch (Hz), true and predicted")).to_be_visible()
    expect(sample.get_by_role("meter", name="calm")).to_have_js_property("value", 0.75)
    expect(page.locator("#sample-step-value")).to_have_text("step 10")
    page.locator("#sample-step").fill("0")
    expect(page.locator("#sample-step-value")).to_have_text("step 5")


def test_a_run_is_stopped_only_after_a_second_thought_and_with_the_key(page: Page, address: str, runs: Path) -> None:
    page.goto(address)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Stop").click()
    page.locator("#confirm-key").fill("guessed")
    page.locator("#confirm-do").click()
    expect(page.locator("#confirm-problem")).to_contain_text("not the key")
    assert not (runs / "first" / CONTROL).exists()
    page.locator("#confirm-key").fill(KEY)
    page.locator("#confirm-do").click()
    expect(page.locator("#toast")).to_contain_text("stops when the step it is at ends")
    assert [event["kind"] for event in read_events(runs / "first" / CONTROL)] == ["stop"]


def test_the_link_that_brings_the_key_keeps_it_out_of_the_address(page: Page, address: str, runs: Path) -> None:
    page.goto(f"{address}/#key={KEY}")
    expect(page).to_have_url(f"{address}/")
    page.get_by_role("button", name="Save checkpoint").click()
    page.locator("#confirm-do").click()
    expect(page.locator("#toast")).to_contain_text("saves a checkpoint")
    assert [event["kind"] for event in read_events(runs / "first" / CONTROL)] == ["checkpoint"]


def test_preparation_is_followed_stage_by_stage(page: Page, address: str, runs: Path) -> None:
    page.goto(address)
    with EventLog(runs / PREPARATION / "now" / EVENTS) as log:
        log.write("start", stages=["ingestion", "features", "training"])
        log.write("node", stage="ingestion", name="find_recordings")
        log.write("progress", stage="ingestion", items=10, made=3, reused=2, quarantined=1)
        expect(page.locator("#stages")).to_contain_text("6 of 10 · 2 reused · 1 quarantined")
        log.write("node", stage="training", name="train")
        log.write("end", status="finished")
    expect(page.locator("#preparation-summary")).to_contain_text("finished")
    expect(page.locator("#stages")).to_be_hidden()


def test_each_rank_has_its_line(page: Page, address: str, runs: Path) -> None:
    with open_log(runs) as log:
        log.write("machine", step=10, use={"rank 0": 0.5, "rank 1": 0.25}, celsius={"rank 1": 61.0})
    page.goto(address)
    label = page.get_by_role("img", name="Use by step")
    expect(label).to_have_attribute("aria-label", "Use by step; latest: first rank 0 50 %, first rank 1 25 %")
    expect(page.get_by_role("heading", name="Temperature")).to_have_count(1)


@pytest.mark.parametrize("width", [320, 390, 768, 1920])
def test_nothing_sticks_out_at_any_width(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    drawn_chart(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, address: str, runs: Path, scheme: str) -> None:
    write_sample(runs, 10)
    axe = find_chart().parents[2] / "axe-core" / "axe.min.js"
    if not axe.exists():
        pytest.skip("axe-core is not installed (npm ci)")
    with open_log(runs) as log:
        log.write("alert", step=10, rule="nan", message="loss is not finite")
        log.write("checkpoint", step=10, path="checkpoints/step-10", bytes=1500, seconds=0.5, best=True)
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    page.goto(address)
    expect(page.locator("#checkpoint-rows")).to_contain_text("best")
    expect(page.get_by_role("meter", name="calm")).to_be_visible()
    drawn_chart(page)
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run().then(result => result.violations)")
    page.close()
    serious = [{v["id"]: [n["html"] for n in v["nodes"]]} for v in found if v["impact"] in ("serious", "critical")]
    assert serious == [], json.dumps(serious, indent=1)
