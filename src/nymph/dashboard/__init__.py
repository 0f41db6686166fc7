"""The live page: reads the runs' event logs and nothing else, so it may start before, during or after a run."""
