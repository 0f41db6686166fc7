"""MLflow as a reader of what a run writes anyway: event logs and a small journal, replayed by another process."""
