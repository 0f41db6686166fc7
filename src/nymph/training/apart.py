"""Work in a process of its own that begins as a rank does: without this one's memory, with a rank's share of the cores.

What a probe takes can then be told from what others took before it, and a machine out of memory kills it alone. The
price is a second or two for each process. Only plain values and exceptions come back.
"""

import io
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import redirect_stderr
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from nymph.errors import NymphError
from nymph.training.launch import PRELOADED

Result = TypeVar("Result")


def apart(ranks: int, work: Callable[..., Result], *arguments: Any) -> Result:
    """`work(*arguments)` as one of `ranks` processes of this machine would do it.

    Raises:
        torch.OutOfMemoryError: The process was killed, which is how Linux tells that memory has ended.
        NymphError: It ended otherwise without an answer.
        Exception: Whatever `work` raises.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(there, ranks, work, arguments), daemon=True)
    process.start()
    there.close()
    try:
        done, answer = here.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGKILL:
            raise torch.OutOfMemoryError("the process was killed") from None
        raise NymphError(f"a probe ended without an answer, with exit status {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        here.close()
    if not done:
        raise answer
    return answer  # type: ignore[no-any-return]


def _answer(there: Connection, ranks: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C too, and ends this process
    if ranks > 1:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks))
    try:
        with redirect_stderr(io.StringIO()):  # each would name the attention kernels once more
            answer = work(*arguments)
        there.send((True, answer))
    except Exception as error:
        there.send((False, error))
