"""Small real event logs, and the page over them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.testclient import TestClient

from nymph.dashboard.app import create_app
from nymph.dashboard.assets import CHART, find_chart
from nymph.errors import NymphError
from nymph.training.events import EVENTS, EventLog

from .browser import CHROMIUM, FLAGS, PATIENCE_MILLISECONDS, serving

ADDRESS = "http://127.0.0.1:8787"
ORIGIN = {"host": "127.0.0.1:8787", "origin": ADDRESS}


def write_steps(log: EventLog, first: int, last: int, loss: Callable[[int], float] = lambda step: 1 / step) -> None:
    for step in range(first, last + 1):
        log.write("step", step=step, loss=loss(step), learning_rate=0.1, tokens_per_second=1000.0)


def open_log(runs: Path, run: str = "first") -> EventLog:
    return EventLog(runs / run / EVENTS)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one run of ten steps, still running."""
    folder = tmp_path / "runs"
    with open_log(folder) as log:
        log.write("start", run="first", step=0, total_steps=100, parameters=12345, device="cpu", world=1)
        write_steps(log, 1, 10)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder where npm has put something under Chart.js's name."""
    chart = tmp_path / "project" / CHART
    chart.parent.mkdir(parents=True)
    chart.write_text("// stands for Chart.js")
    return tmp_path / "project"


Connect = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def connect(runs: Path, project: Path) -> Connect:
    """A client of the application over `runs`; keyword arguments go to `create_app`."""

    @contextmanager
    def client(**options: object) -> Iterator[TestClient]:
        app = create_app(runs, project=project, period=0.02, **options)  # type: ignore[arg-type]
        with TestClient(app, base_url=ADDRESS) as inner:
            yield inner

    return client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; not for longer than a file, because Playwright keeps the thread's event loop running."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    try:
        find_chart()
    except NymphError as error:
        pytest.skip(str(error))
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE_MILLISECONDS)
        yield browser
        browser.close()


@pytest.fixture
def address(runs: Path) -> Iterator[str]:
    """Where `runs` are served."""
    with serving(runs) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in which no script failed."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []
