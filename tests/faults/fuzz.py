"""What strangers send: bytes changed, cut out or repeated, sometimes nothing but noise; the same for the same seed."""

import random

PIECES = [b"", b"9", b'"', b"-1", b"../", b"\0", b"\xff", b"\r\n"]


def mutated(generator: random.Random, good: bytes) -> bytes:
    data = bytearray(good if generator.random() < 0.8 else generator.randbytes(generator.randrange(200)))
    for _ in range(generator.randrange(6)):
        at = generator.randrange(len(data) + 1)
        data[at : at + generator.randrange(4)] = generator.choice([*PIECES, generator.randbytes(3)])
    return bytes(data)
