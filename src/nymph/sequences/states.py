"""What a speech encoder makes of a recording, read beside its frames, so that audio units may stand for either.

States are kept at 25 a second, the finer of the two rates of units. Spread to frames they cost memory for one utterance
at a time, and spare the codebook a second way of cutting time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nymph.sequences.frames import FrameFolder

FRAMES_PER_STATE = 4
"""10 ms frames of a state: 40 ms."""
STATE = "state"
"""The column of states, in their files and beside frames."""


def state_schema(size: int) -> pa.Schema:
    """The schema of a recording's states, each a list of `size` numbers."""
    return pa.schema([pa.field(STATE, pa.list_(pa.float16(), size), nullable=False)])


@dataclass(frozen=True)
class StatedFrames:
    """Frames with the encoder's state at each as one more column."""

    frames: FrameFolder
    states: Path
    """Folder of the files of states."""
    names: Mapping[str, str]
    """Of each recording's file in it."""

    def __call__(self, reference: Mapping[str, Any]) -> pa.Table | None:
        """Rows `start` to `stop` of the frame file; None where it, or the recording's states, are not there."""
        table = self.frames(reference)
        name = self.names.get(str(reference["file"]).partition(".")[0])
        if table is None or name is None:
            return None
        at = np.arange(reference["start"], reference["stop"]) // FRAMES_PER_STATE
        if not len(at):
            return None
        states = FrameFolder(self.states, (STATE,))({"file": name, "start": int(at[0]), "stop": int(at[-1]) + 1})
        return None if states is None else table.append_column(STATE, states[STATE].take(pa.array(at - at[0])))
