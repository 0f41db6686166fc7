"""Two hosts with a bad line between them: network namespaces, joined by a process that delays and drops packets.

The kernel's own netem does the same and is missing from many kernels; TUN devices are in nearly all. Needs root.
"""

import fcntl
import math
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
import uuid
from collections import deque
from types import TracebackType

_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001
ADDRESSES = ("10.213.77.1", "10.213.77.2")


class NoNamespaces(Exception):  # noqa: N818
    """This machine does not allow them."""


class TwoHosts:
    """Hosts 0 and 1 at `ADDRESSES`; each packet takes `delay` seconds, or is lost with the probability `loss`.

    Once `cut_at` bytes were carried every packet is lost, until `cut` is cleared.
    """

    def __init__(self, delay: float, loss: float, cut_at: float = math.inf) -> None:
        self._delay, self._loss, self._generator, self._cut_at = delay, loss, random.Random(8), cut_at
        self._names = [f"nymph-{uuid.uuid4().hex[:6]}" for _ in ADDRESSES]
        self._wires: list[int] = []
        self._ended = threading.Event()
        self._carried = self.lost = 0
        self.cut = threading.Event()

    def __enter__(self) -> "TwoHosts":
        if shutil.which("ip") is None:
            raise NoNamespaces("there is no `ip` command")
        try:
            for number, name in enumerate(self._names):
                _run("ip", "netns", "add", name)
                self._wires.append(_tun(name))
                _run("ip", "link", "set", name, "netns", name)
                _run(*self.on(number), "ip", "address", "add", f"{ADDRESSES[number]}/30", "dev", name)
                _run(*self.on(number), "ip", "link", "set", name, "mtu", "9000", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self._remove()
            raise NoNamespaces(str(error)) from None
        self._line = threading.Thread(target=self._carry, name="bad-line")
        self._line.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._line.join()
        self._remove()

    def on(self, number: int) -> list[str]:
        """What to put before a command, so that it runs on this host."""
        return ["ip", "netns", "exec", self._names[number]]

    def _carry(self) -> None:
        """Packets of one wire go to the other, in order, each when its time has come."""
        waiting: deque[tuple[float, int, bytes]] = deque()
        while not self._ended.is_set():
            patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.1
            for wire in select.select(self._wires, [], [], patience)[0]:
                packet = os.read(wire, 65_536)
                if self._loses(packet):
                    self.lost += 1
                else:
                    other = self._wires[1 - self._wires.index(wire)]
                    waiting.append((time.monotonic() + self._delay, other, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, wire, packet = waiting.popleft()
                os.write(wire, packet)

    def _loses(self, packet: bytes) -> bool:
        self._carried += len(packet)
        if self._carried > self._cut_at:
            self._cut_at = math.inf
            self.cut.set()
        return self.cut.is_set() or self._generator.random() < self._loss

    def _remove(self) -> None:
        for wire in self._wires:
            os.close(wire)
        for name in self._names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _tun(name: str) -> int:
    wire = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(wire, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))
    return wire


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
