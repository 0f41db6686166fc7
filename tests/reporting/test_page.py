"""The page shows what the report says, and hostile names and texts as text."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from nymph.reporting.corpus import looked_at_report
from nymph.reporting.figures import Numbers
from nymph.reporting.page import render_page

HOSTILE = [
    "<script>alert(1)</script>.txt",
    '"><img src=x onerror=alert(1)>.txt',
    "\x1b]0;owned\x07.txt",
    "\u202egpj.exe.txt",
    "{{ 7 * 7 }}.txt",
    "=cmd|' 'calc'!A1.txt",
]


class Elements(HTMLParser):
    """Names of elements, and whether any has an event handler."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_and_does_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name.replace("/", "∕")).touch()
    page = render_page(looked_at_report(tmp_path))
    elements = Elements(page)
    assert not elements.names & {"script", "img", "iframe", "object"}
    assert not elements.handlers
    assert not set(page) & {"\x1b", "\x07", "\u202e"}
    assert "49.txt" not in page


def test_a_hostile_speaker_and_key_are_shown_and_do_nothing(tmp_path: Path, mixed: Path) -> None:
    (mixed / "a.stm").write_text("a 1 <script>x()</script> 0.5 1.5 hello\n")
    (mixed / "bad.jsonl").write_text('{"<script>x()</script>": 1}\n')
    page = render_page(looked_at_report(mixed))
    assert "&lt;script&gt;x()&lt;/script&gt;" in page
    assert "script" not in Elements(page).names


def test_it_tells_counts_reasons_and_plots(mixed: Path) -> None:
    page = render_page(looked_at_report(mixed))
    for words in ("9 records in = 6 used", "bad_conversation", "no assistant turn", "Loudness", "<svg", "truncated"):
        assert words in page


def test_an_empty_folder_has_a_page_too(tmp_path: Path) -> None:
    assert "nothing to use" in render_page(looked_at_report(tmp_path))


def test_one_value_has_a_histogram_from_it() -> None:
    numbers = Numbers()
    numbers.add(0.0)
    figure = numbers.describe(0.0)
    assert figure is not None
    assert (figure["histogram"]["edges"][0], figure["histogram"]["edges"][-1]) == (0.0, 1.0)
