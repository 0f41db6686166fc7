"""Speech to timed, attributed utterances through WhisperX. Importing this package loads no model and no torch."""
