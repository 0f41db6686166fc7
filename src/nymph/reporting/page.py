"""The report as one HTML file that needs nothing else: no script, no network, plots as inline SVG.

File names and messages come from other people, so everything is escaped, direction and control characters are written
out, and the page's own policy forbids scripts and requests should that ever fail.
"""

from pathlib import Path
from typing import Any

from nymph.visible import visible

TITLES = {
    "minutes_per_recording": ("Length of recordings", "minutes"),
    "loudness_lufs": ("Loudness", "LUFS"),
    "peak_db": ("Peak", "dB of full scale"),
    "clipped_share": ("Clipped samples", "share"),
    "silent_share": ("Silence", "share of 20 ms frames"),
    "words_per_minute": ("Words per minute of given transcripts", "words"),
    "words_per_document": ("Words per document", "words"),
    "words_per_conversation": ("Words per conversation", "words"),
    "turns_per_conversation": ("Turns per conversation", "turns"),
}
TABLES = {
    "languages": "Languages",
    "speakers": "Speakers",
    "sample_rates": "Sampling rates",
    "channels": "Channels",
    "containers": "Containers",
    "codecs": "Codecs",
}


def render_page(report: dict[str, Any]) -> str:
    """The page of a report of `nymph.reporting.collect`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(autoescape=True, loader=folder, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"visible": lambda text: visible(str(text)), "number": _number}
    return environment.get_template("page.html").render(report=report, titles=TITLES, tables=TABLES)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
