"""What utterances sound like, as the tokenizer learns units from it and rows are packed from it."""

from nymph.sequences.frames import FrameFolder, Frames
from nymph.sequences.states import StatedFrames
from nymph.sequences.units import Source
from nymph.stores.items import StoredItems


def sounds_of(frames: StoredItems, states: StoredItems, source: Source) -> Frames:
    """The frames of an utterance, with the encoder's states where units stand for these."""
    plain = FrameFolder(frames.folder)
    if source == "log_mel":
        return plain
    return StatedFrames(plain, states.folder, {unit: states.path(unit).name for unit in states})
