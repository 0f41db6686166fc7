"""Draw docs/images/pipeline.png: kedro-viz's own picture of the pipeline, taken in headless Chromium.

Builds the static site in a scratch folder, serves it on this machine only, and takes a screenshot. Needs Debian's
`chromium` (or CHROMIUM=/path/to/it).
"""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

PROJECT = Path(__file__).parents[1]
PICTURE = PROJECT / "docs" / "images" / "pipeline.png"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


LOOK = {
    "theme": "light",
    "showFeatureHints": False,
    "layer": {"visible": True},
    "visible": {"code": False, "graph": True, "miniMap": False, "sidebar": False, "slicing": False},
}
"""Kedro-viz keeps its settings in the browser; these leave nothing but the graph."""


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Build, serve, look."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("draw_pipeline needs chromium: apt install chromium, or set CHROMIUM")
    with tempfile.TemporaryDirectory() as scratch:
        kedro = Path(sys.executable).with_name("kedro")
        subprocess.run([kedro, "viz", "build", "--include-previews"], cwd=PROJECT, check=True)
        site = Path(shutil.move(PROJECT / "build", scratch))
        handler = functools.partial(_Silent, directory=site)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            _take_picture(chromium, f"http://127.0.0.1:{server.server_port}/")
            server.shutdown()
    print(PICTURE)


def _take_picture(chromium: str, address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_page(viewport={"width": 1700, "height": 1700}, color_scheme="light")
        page.add_init_script(f"localStorage.setItem('KedroViz', JSON.stringify({json.dumps(LOOK)}))")
        page.route(lambda url: not url.startswith(address), lambda route: route.abort())
        page.goto(address)
        page.wait_for_selector("#pipeline-graph", timeout=60_000)
        page.wait_for_timeout(4_000)
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
