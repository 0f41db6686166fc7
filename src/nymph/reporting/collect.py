"""The figures of a corpus, gathered row by row: what the ingestion pipeline and `kedro validate` both report.

Holds 16 bytes of every id and a few numbers of every row, so ten million documents fit in about 2 GiB.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nymph.reporting.figures import Numbers
from nymph.stages import Failed

SCHEMA_VERSION = 1
KINDS = ("speech", "text", "chat")
MODALITIES = ("sound", "text", "utterance times", "word times", "speaker", "language")
COLUMNS = [
    "id",
    "unit",
    "kind",
    "source",
    "line",
    "bytes",
    "container",
    "codec",
    "sample_rate",
    "channels",
    "duration_s",
    "language",
    "given",
    "timed",
    "words",
    "turns",
    "speakers",
    "file_key",
]
"""Of the table of recordings; neither texts nor messages."""

_LISTED = 200
_SECONDS = 3600


@dataclass
class _Kind:
    count: int = 0
    bytes: int = 0
    hours: float = 0.0
    words: int = 0


@dataclass
class Corpus:
    """Collects rows, sound and failures; `report` says what they come to."""

    used: int = 0
    failures: list[Failed] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    kinds: dict[str, _Kind] = field(default_factory=dict)
    coverage: dict[str, Counter[str]] = field(default_factory=dict)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    quarantined: int = 0
    _seen: set[bytes] = field(default_factory=set)
    _void: set[str] = field(default_factory=set)
    _last: tuple[Any, ...] = ()

    def fail(self, failures: Iterable[Failed]) -> None:
        """Take what could not be ingested: files and records that have no row."""
        for failure in failures:
            self._count(failure)
            self.quarantined += 1

    def spoil(self, failures: Iterable[Failed]) -> None:
        """Take recordings that have a row and cannot be decoded; before their rows, which do not count as used."""
        for failure in failures:
            self._count(failure)
            self._void.add(failure.item.id)

    def sound(self, row: Mapping[str, Any]) -> None:
        """Take a row of `STATISTICS_SCHEMA`."""
        for name in ("loudness_lufs", "peak_db", "clipped_share", "silent_share"):
            self._number(name, row[name])

    def row(self, row: Mapping[str, Any]) -> None:
        """Take a row of the table of recordings; rows of one record follow each other."""
        record = (row["file_key"], row["source"], row["line"])
        fresh, self._last = record != self._last, record
        if row["unit"] in self._void:
            self.quarantined += fresh
            return
        self.used += fresh
        id = bytes.fromhex(row["id"])
        if id in self._seen:
            self._again(row)
            return
        self._seen.add(id)
        self._describe(row)

    def knows(self, id: str) -> bool:
        """Whether this content was there already, usable or not."""
        return bytes.fromhex(id) in self._seen or id in self._void

    def report(self, place: str) -> dict[str, Any]:
        """Everything as JSON: counts, shares, histograms, and the first few hundred entries of quarantine."""
        kinds = {name: vars(self.kinds[name]) for name in KINDS if name in self.kinds}
        return {
            "schema": SCHEMA_VERSION,
            "place": place,
            "records": {
                "in": self.used + self.quarantined,
                "used": self.used,
                "quarantined": self.quarantined,
                "duplicates": self.counts.get("duplicates", Counter()).total(),
            },
            "kinds": kinds,
            "coverage": {name: {what: self.coverage[name][what] for what in MODALITIES} for name in kinds},
            **{name: _sorted(self.counts.get(name, Counter())) for name in _COUNTED},
            "figures": {name: self.numbers[name].describe(*_RANGES.get(name, ())) for name in sorted(self.numbers)},
            "duplicates": [{"source": source, "id": id} for source, id in self.duplicates],
            "chat_problems": _sorted(self.problems),
            "quarantine": {"reasons": _sorted(self.reasons), "entries": [_entry(failure) for failure in self.failures]},
            "summary": self._summary(),
        }

    def _describe(self, row: Mapping[str, Any]) -> None:
        kind = self.kinds.setdefault(row["kind"], _Kind())
        kind.count += 1
        kind.bytes += row["bytes"] or 0
        kind.words += row["words"] or 0
        kind.hours += (row["duration_s"] or 0.0) / _SECONDS
        covered = self.coverage.setdefault(row["kind"], Counter())
        covered.update(name for name, there in _modalities(row).items() if there)
        self._tell("languages", row["language"] or "not known")
        for speaker in row["speakers"] or ():
            self._tell("speakers", speaker)
        if row["kind"] == "speech":
            self._describe_speech(row)
        elif row["kind"] == "chat":
            self._number("turns_per_conversation", row["turns"])
            self._number("words_per_conversation", row["words"])
        else:
            self._number("words_per_document", row["words"])

    def _describe_speech(self, row: Mapping[str, Any]) -> None:
        self._tell("containers", row["container"])
        self._tell("codecs", row["codec"])
        self._tell("sample_rates", f"{row['sample_rate']} Hz")
        self._tell("channels", str(row["channels"]))
        self._number("minutes_per_recording", (row["duration_s"] or 0.0) / 60)
        if row["given"] and row["duration_s"]:
            self._number("words_per_minute", row["words"] / row["duration_s"] * 60)

    def _again(self, row: Mapping[str, Any]) -> None:
        self._tell("duplicates", row["kind"])
        if len(self.duplicates) < _LISTED:
            self.duplicates.append((row["source"], row["id"]))

    def _count(self, failure: Failed) -> None:
        self.reasons[failure.reason] += 1
        if failure.reason == "bad_conversation":
            self.problems.update(failure.message.split("; "))
        if len(self.failures) < _LISTED:
            self.failures.append(failure)

    def _tell(self, name: str, value: str) -> None:
        self.counts.setdefault(name, Counter())[value] += 1

    def _number(self, name: str, value: float | None) -> None:
        self.numbers.setdefault(name, Numbers()).add(value)

    def _summary(self) -> list[str]:
        parts = [f"{kind.count} {name}" for name, kind in self.kinds.items()]
        hours = sum(kind.hours for kind in self.kinds.values())
        words = sum(kind.words for kind in self.kinds.values())
        told = self.used + self.quarantined
        return [
            f"{told} in = {self.used} used + {self.quarantined} quarantined; "
            f"{', '.join(parts) or 'nothing to use'}; "
            f"{f'{hours:,.1f} h' if hours >= 1 else f'{60 * hours:.1f} min'} of sound, {words:,} words came with it"
        ]


_COUNTED = ("languages", "speakers", "sample_rates", "channels", "containers", "codecs")
_RANGES: dict[str, tuple[float, ...]] = {"silent_share": (0.0, 1.0), "clipped_share": (0.0,)}
"""From and up to which value a histogram goes; by default from the least to the most."""


def _modalities(row: Mapping[str, Any]) -> dict[str, bool]:
    return {
        "sound": row["kind"] == "speech",
        "text": row["kind"] != "speech" or row["given"] is not None,
        "utterance times": row["timed"] is not None,
        "word times": row["timed"] == "words",
        "speaker": bool(row["speakers"]) or row["kind"] == "chat",
        "language": row["language"] is not None,
    }


def _sorted(counter: Counter[str]) -> dict[str, int]:
    """The most frequent first; the names alone decide among equals."""
    return dict(sorted(counter.items(), key=lambda entry: (-entry[1], entry[0]))[:_LISTED])


def _entry(failure: Failed) -> dict[str, Any]:
    return {
        "source": failure.item.source,
        "line": failure.line,
        "reason": failure.reason,
        "message": failure.message,
    }
