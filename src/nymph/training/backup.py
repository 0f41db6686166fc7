"""A second home for checkpoints: each goes to a Flight server once it is on disk here, and as many are kept there.

One at a time and the newest first, in a thread: a slow link skips checkpoints rather than hold up training or fill a
queue. What went wrong is told and ends nothing; the next checkpoint is tried again.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from nymph.errors import NymphError
from nymph.files import read_json
from nymph.flight.backup import drop_backup, list_backups, upload_folder
from nymph.training.checkpoint import checkpoint_path


class Backup:
    """Sends to `location/<run>/<checkpoint>` and keeps the last `keep_last` there, and the best.

    `tell` hears, from the sending thread, what could not be sent.
    """

    def __init__(
        self,
        location: str,
        connection: Mapping[str, str | int | float],
        run: str,
        keep_last: int,
        tell: Callable[[str], None],
    ) -> None:
        self._base, self._connection, self._tell = f"{location.rstrip('/')}/{run}", dict(connection), tell
        self._keep_last = keep_last
        self._lock = threading.Lock()
        self._newest: Path | None = None
        self._thread: threading.Thread | None = None

    def send(self, checkpoint: Path) -> None:
        """Send this one next; returns at once."""
        with self._lock:
            self._newest = checkpoint
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nymph-backup", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Return once the newest checkpoint was sent, or could not be."""
        if thread := self._thread:
            thread.join()

    def _run(self) -> None:
        while checkpoint := self._take():
            try:
                best = read_json(checkpoint / "state.json").get("best_step", 0)
                upload_folder(checkpoint, f"{self._base}/{checkpoint.name}", **self._connection)
                self._prune(checkpoint, checkpoint_path(checkpoint.parent, best).name)
            except (NymphError, OSError) as error:
                if checkpoint.exists():  # else it was pruned meanwhile, and a newer one waits
                    self._tell(f"{checkpoint.name} has no second copy at {self._base}: {error}")

    def _prune(self, newest: Path, best: str) -> None:
        """Delete older copies. Those of later steps stay: they are of a run that went back, and lost nothing yet."""
        names = [name.rpartition("/")[2] for name in list_backups(self._base, **self._connection)]
        older = sorted(name for name in names if name.startswith("step-") and name <= newest.name)
        for name in older[: -self._keep_last]:
            if name != best:
                drop_backup(f"{self._base}/{name}", **self._connection)

    def _take(self) -> Path | None:
        with self._lock:
            checkpoint, self._newest = self._newest, None
            if checkpoint is None:
                self._thread = None
            return checkpoint
