"""Arrow rows to the tensors of a training batch, without a Python loop over rows.

Narrow types on disk and on the wire are widened here, which copies; what already has the wanted type is shared.
Legend: B rows, T positions, S speaker vectors, N mel patches.
"""

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import DTypeLike, NDArray

from nymph.sequences.schema import PATCH, PROSODY, SPEAKER, context_length_of

Batch = dict[str, torch.Tensor]


def collate(batch: pa.RecordBatch) -> Batch:
    """The model's batch from rows of `nymph.sequences.schema`: the dict of docs/architecture.md.

    `tokens, modality, document, position, sentiment, speaker` int64 [B,T]; `loss_weight` float32 [B,T];
    `prosody` float32 [B,T,4]; `speaker_vectors` float32 [S,256]; `audio` float32 [N,640]; `audio_index` int64 [N].
    """
    B, T = batch.num_rows, context_length_of(batch.schema)
    document = _fixed(batch, "document", np.int64, B, T)
    vectors, vector_starts, _ = _ragged(batch, "speaker_vector")
    patches, _, _ = _ragged(batch, "audio")
    positions, _, counts = _ragged(batch, "audio_position")
    rows = np.repeat(np.arange(B, dtype=np.int64), counts)
    arrays = {
        "tokens": _fixed(batch, "tokens", np.int64, B, T),
        "modality": _fixed(batch, "modality", np.int64, B, T),
        "loss_weight": _fixed(batch, "loss_weight", np.float32, B, T),
        "document": document,
        "position": _positions(document),
        "sentiment": _fixed(batch, "sentiment", np.int64, B, T),
        "speaker": _global_speakers(_fixed(batch, "speaker", np.int64, B, T), vector_starts),
        "prosody": _fixed(batch, "prosody", np.float32, B, T, PROSODY),
        "speaker_vectors": _numbers(vectors.flatten(), np.float32).reshape(-1, SPEAKER),
        "audio": _numbers(patches.flatten(), np.float32).reshape(-1, PATCH),
        "audio_index": rows * T + _numbers(positions, np.int64),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _fixed(batch: pa.RecordBatch, name: str, dtype: DTypeLike, *shape: int) -> NDArray:
    return _numbers(batch.column(name).flatten(), dtype).reshape(shape)


def _numbers(values: pa.Array, dtype: DTypeLike) -> NDArray:
    array = values.to_numpy(zero_copy_only=True).astype(dtype, copy=False)
    return array if array.flags.writeable else array.copy()


def _ragged(batch: pa.RecordBatch, name: str) -> tuple[pa.Array, NDArray, NDArray]:
    """A list column's values, each row's start in them, and each row's length."""
    column = batch.column(name)
    offsets = column.offsets.to_numpy().astype(np.int64)
    return column.flatten(), offsets[:-1] - offsets[0], np.diff(offsets)


def _positions(document_BT: NDArray) -> NDArray:
    """Positions counted from 0 in each document: a new one starts wherever the document number changes."""
    index = np.arange(document_BT.shape[1], dtype=np.int64)
    starts = np.zeros_like(document_BT)
    starts[:, 1:] = np.where(document_BT[:, 1:] != document_BT[:, :-1], index[1:], 0)
    return index - np.maximum.accumulate(starts, axis=1)


def _global_speakers(speaker_BT: NDArray, starts: NDArray) -> NDArray:
    """Row-local speaker indices become indices into the batch's vectors; -1 stays."""
    return np.where(speaker_BT >= 0, speaker_BT + starts[:, None], -1)
