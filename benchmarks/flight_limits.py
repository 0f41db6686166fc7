"""What this machine's loopback gives at best: raw sockets, sendfile and TLS, for `flight.py` to compare with.

Run as a script it serves one file: python flight_limits.py FILE CERTIFICATE KEY prints its port.
"""

import mmap
import os
import socket
import ssl
import sys

import numpy as np
import pyarrow as pa
import torch

MIB = 2**20


def read_raw(port: int) -> int:
    """All bytes of the file, into one buffer of 1 MiB over and over."""
    with _connected(port, b"r") as connection:
        return _drain(connection)


def read_tls(port: int, authority: str) -> int:
    """The same through TLS."""
    context = ssl.create_default_context(cafile=authority)
    with _connected(port, b"t") as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        return _drain(connection)


def read_sendfile(port: int, memory: np.ndarray) -> torch.Tensor:
    """The Arrow file by sendfile into `memory`, opened there as a tensor without copying."""
    view, at = memoryview(memory), 0
    with _connected(port, b"s") as connection:
        while count := connection.recv_into(view[at : at + 4 * MIB]):
            at += count
    batch = pa.ipc.open_file(pa.py_buffer(memory)).get_batch(0)
    return torch.from_dlpack(batch["tokens"].flatten())


def serve(file: str, certificate: str, key: str) -> None:
    """One connection after the other; its first byte says how the file is sent."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    descriptor = os.open(file, os.O_RDONLY)
    size = os.fstat(descriptor).st_size
    content = memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ))
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            how = connection.recv(1)
            if how == b"s":
                _sendfile(connection, descriptor, size)
            else:
                _send(context.wrap_socket(connection, server_side=True) if how == b"t" else connection, content)


def _send(connection: socket.socket, content: memoryview) -> None:
    with connection:
        for at in range(0, len(content), MIB):
            connection.sendall(content[at : at + MIB])


def _sendfile(connection: socket.socket, descriptor: int, size: int) -> None:
    at = 0
    with connection:
        while at < size:
            at += os.sendfile(connection.fileno(), descriptor, at, min(4 * MIB, size - at))


def _connected(port: int, how: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(how)
    return connection


def _drain(connection: socket.socket) -> int:
    buffer, total = bytearray(MIB), 0
    while count := connection.recv_into(buffer):
        total += count
    return total


if __name__ == "__main__":
    serve(*sys.argv[1:4])
