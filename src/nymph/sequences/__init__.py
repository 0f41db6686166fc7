"""Sequences: the training row, from utterances through tasks and packing to Parquet and tensors."""
