"""WhisperX without its chatter: it logs and prints to stdout, and pyannote warns a page where torchcodec cannot load.

Nymph hands over samples, so neither torchcodec nor an ffmpeg binary is ever needed.
"""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

_LOUD = ("whisperx", "lightning.pytorch", "pytorch_lightning", "speechbrain", "pyannote")


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence the process while speech libraries are imported and models loaded; errors still raise.

    Loggers of the whole process are held back below ERROR, which is why this wraps loading and never the work.
    """
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet_warnings(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
        for name in _LOUD:
            logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def quiet_warnings() -> Iterator[None]:
    """Hold back warnings of speech libraries, which concern their authors, while models run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
