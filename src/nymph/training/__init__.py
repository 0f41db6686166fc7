"""The trainer: a `Job` in, a trained checkpoint and an event log out. It knows neither Kedro nor the catalog."""
