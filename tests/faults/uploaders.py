"""Writers to be killed in the middle of an upload: one process that forks them, before gRPC has started in it.

Its argument is the server's port; each line of its input is how far the next writer goes, in batches of 1000 rows. It
answers with the writer's process id once that writer is there, and says when it is dead.
"""

import os
import sys

import pyarrow as pa
import pyarrow.flight as fl

BATCH = pa.record_batch({"a": pa.array(range(1000), pa.int64())})


def write_and_wait(port: int, batches: int) -> None:
    """Send so many batches of a shard, say so, and hold still."""
    client = fl.connect(f"grpc://127.0.0.1:{port}")
    writer, _ = client.do_put(fl.FlightDescriptor.for_path("in", "t", "a.parquet"), BATCH.schema)
    for _ in range(batches):
        writer.write_batch(BATCH)
    print(os.getpid(), flush=True)
    os.read(os.pipe()[0], 1)  # for ever: a pipe of its own, that nobody writes to


def main(port: int) -> None:
    """Fork a writer a line."""
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            write_and_wait(port, int(line))
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
