"""Samples for the page: the trainer's files with words instead of tokens, and the recording they came from.

Words come from the tokenizer kept with the run. The recording is found where the validation rows, their origins and the
raw folder are on this machine; elsewhere a sample has none. Paths come from tables and fixed patterns, never from who
asks, and are served from under the raw folder only.
"""

import asyncio
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from nymph.dashboard.feed import Feed
from nymph.dashboard.run import Run, run_of
from nymph.files import read_json
from nymph.parquet import read_parquet
from nymph.reporting.samples import read_sample
from nymph.sequences.writer import ORIGINS
from nymph.training.events import SAMPLES

_NAME = re.compile(r"\d{8}-\d{1,3}\.json")
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Corpus:
    """Where the validation rows came from."""

    rows: Path
    """Their folder of shards, with the origins beside them."""
    recordings: Path
    """The table of recordings."""
    raw: Path
    """The folder that its sources are relative to."""


@dataclass(frozen=True)
class Excerpt:
    """A part of a recording."""

    file: Path
    source: str
    start: float | None
    """Seconds."""
    end: float | None


class Samples:
    """The routes of samples."""

    def __init__(self, feed: Feed, corpus: Corpus | None) -> None:
        self._feed, self._corpus = feed, corpus

    async def sample(self, request: Request) -> Response:
        """One sample: words, pictures as bytes, curves, and where to hear it."""
        run = run_of(self._feed.runs, request.path_params["run"])
        path = _path(run, request.path_params["name"])
        return JSONResponse(await asyncio.to_thread(self._read, run, path))

    async def recording(self, request: Request) -> Response:
        """The recording itself; browsers ask for the part they play."""
        run = run_of(self._feed.runs, request.path_params["run"])
        values = await asyncio.to_thread(read_json, _path(run, request.path_params["name"]))
        excerpt = await asyncio.to_thread(self._excerpt, values)
        if excerpt is None:
            raise HTTPException(404, "the recording is not on this machine")
        return FileResponse(excerpt.file)

    def _read(self, run: Run, path: Path) -> dict[str, Any]:
        values = read_sample(run.folder, path.name)
        excerpt = self._excerpt(values)
        about = {"source": excerpt.source, "start": excerpt.start, "end": excerpt.end} if excerpt else None
        return {**values, "recording": about}

    def _excerpt(self, values: dict[str, Any]) -> Excerpt | None:
        if self._corpus is None:
            return None
        try:
            return find_excerpt(self._corpus, values["row"], values["document"], tuple(values["tokens"]))
        except (OSError, KeyError, IndexError, TypeError, ValueError):  # other rows, or other files, than the run's
            return None


@lru_cache(maxsize=64)
def find_excerpt(corpus: Corpus, row: int, document: int, tokens: tuple[int, ...]) -> Excerpt | None:
    """Where a document's sound is, if the rows here are those of the run: the document must begin with `tokens`."""
    path, row = _shard(corpus.rows, row)
    rows = read_parquet(path, ["tokens", "document"]).slice(row, 1).to_pylist()[0]
    found = [token for token, number in zip(rows["tokens"], rows["document"], strict=True) if number == document]
    if tuple(found[: len(tokens)]) != tokens:
        return None
    origin = read_parquet(corpus.rows / ORIGINS / path.name).slice(row, 1).to_pylist()[0]
    places = {place for place, number in enumerate(rows["document"]) if number == document}
    spans = [
        (start, end)
        for place, start, end in zip(origin["timed"], origin["start"], origin["end"], strict=True)
        if place in places
    ]
    return _in_recording(corpus, origin["documents"][document - 1]["id"].partition(":")[0], spans)


def _shard(folder: Path, row: int) -> tuple[Path, int]:
    """The file that holds a row, and the row's place in it."""
    for path in sorted(folder.glob("*.parquet")):
        count = pq.read_metadata(path).num_rows
        if row < count:
            return path, row
        row -= count
    raise IndexError(row)


def _in_recording(corpus: Corpus, recording: str, spans: list[tuple[float, float]]) -> Excerpt | None:
    table = read_parquet(corpus.recordings, ["id", "source", "kind"])
    found = [row for row in table.to_pylist() if row["id"] == recording and row["kind"] == "speech"]
    if not found:
        return None
    source = found[0]["source"]
    file, raw = (corpus.raw / source).resolve(), corpus.raw.resolve()
    if not file.is_relative_to(raw) or not file.is_file():
        return None
    start, end = (min(s for s, _ in spans), max(e for _, e in spans)) if spans else (None, None)
    return Excerpt(file, source, start, end)


def _path(run: Run, name: str) -> Path:
    path = run.folder / SAMPLES / name
    if not _NAME.fullmatch(name) or path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise HTTPException(404, "no such sample")
    return path
