"""How far the latest Kedro run is with preparing data, stage by stage, as its own small event log tells it.

| kind | fields |
|---|---|
| `start` | `stages`: names in order |
| `node` | `stage, name`: it begins, and those before it are done |
| `progress` | `stage, items, made, reused, quarantined` |
| `end` | `status` (finished, failed), `reason` |
"""

import time
from pathlib import Path
from typing import Any

from nymph.training.events import EVENTS, EventReader

PREPARATION = ".preparation"
"""Folder among the runs with a folder of each Kedro run, named so that the latest comes last."""


class Preparation:
    """The latest one under a folder of runs; empty before the first."""

    def __init__(self, runs_directory: Path) -> None:
        self._folder = runs_directory / PREPARATION
        self._reader: EventReader | None = None
        self._about: dict[str, Any] = {}
        self._stages: dict[str, dict[str, Any]] = {}

    def grown(self) -> bool:
        """Whether the log read last has more: far cheaper than a look, which may find a newer one."""
        return self._reader is not None and self._reader.unread() > 0

    def look(self) -> bool:
        """Read what is new; whether there was anything."""
        if not self._folder.is_dir():
            return False
        latest = max(self._folder.glob(f"*/{EVENTS}"), default=None)
        if latest is None:
            return False
        if self._reader is None or self._reader.path != latest:
            self._reader, self._about, self._stages = EventReader(latest), {"name": latest.parent.name}, {}
        events = self._reader.poll()
        for event in events:
            self._take(event)
        return bool(events)

    def summary(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {**self._about, "stages": list(self._stages.values())}

    def _take(self, event: dict[str, Any]) -> None:
        moment = event.get("time", time.time())
        self._about["seen"] = moment
        match event["kind"]:
            case "start":
                self._about |= {"began": moment, "status": "running"}
                for name in event.get("stages", []):
                    self._stages[str(name)] = {"name": str(name), "state": "waiting"}
            case "node":
                self._begin(str(event.get("stage")), str(event.get("name")), moment)
            case "progress":
                stage = self._stages.get(str(event.get("stage")), self._running())
                if stage is not None:
                    stage |= {key: event.get(key) for key in ("items", "made", "reused", "quarantined")}
            case "end":
                self._about |= {"status": event.get("status"), "reason": event.get("reason")}
                self._close(moment, "done" if event.get("status") == "finished" else "failed")

    def _begin(self, name: str, node: str, moment: float) -> None:
        running = self._running()
        if running is not None and running["name"] != name:
            self._close(moment, "done")
        stage = self._stages.setdefault(name, {"name": name})
        stage.setdefault("began", moment)
        stage |= {"state": "running", "node": node}

    def _running(self) -> dict[str, Any] | None:
        return next((stage for stage in self._stages.values() if stage["state"] == "running"), None)

    def _close(self, moment: float, state: str) -> None:
        if (stage := self._running()) is not None:
            stage |= {"state": state, "ended": moment}
