"""Rows become the batch of the contract, whatever the slice of whatever table they come from."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from nymph.sequences.collation import collate
from nymph.sequences.documents import build_documents
from nymph.sequences.mix import MixOptions
from nymph.sequences.packing import pack
from nymph.sequences.statistics import FeatureStatistics
from nymph.sequences.streams import Tools
from nymph.sequences.writer import sequence_schema

T = 128


@pytest.fixture(scope="module")
def rows(utterances: list[dict[str, Any]], tools: Tools) -> pa.RecordBatch:
    schema = sequence_schema(tools.tokenizer, T, FeatureStatistics(), "test")
    documents = build_documents(utterances, tools, MixOptions(), T)
    return (
        pa.Table.from_batches([packed.rows for packed in pack(documents, schema, T)]).combine_chunks().to_batches()[0]
    )


def test_the_batch_has_the_shapes_and_types_of_the_contract(rows: pa.RecordBatch) -> None:
    batch, B = collate(rows), rows.num_rows
    for name in ("tokens", "modality", "document", "position", "sentiment", "speaker"):
        assert (batch[name].dtype, batch[name].shape) == (torch.int64, (B, T))
    assert (batch["loss_weight"].dtype, batch["loss_weight"].shape) == (torch.float32, (B, T))
    assert (batch["prosody"].dtype, batch["prosody"].shape) == (torch.float32, (B, T, 4))
    assert batch["speaker_vectors"].shape == (len(rows["speaker_vector"].flatten()), 256)
    assert batch["audio"].shape == (len(batch["audio_index"]), 640)


def test_every_value_is_the_rows_value(rows: pa.RecordBatch) -> None:
    batch = collate(rows)
    for index in range(rows.num_rows):
        for name in ("tokens", "modality", "loss_weight", "document", "sentiment"):
            assert batch[name][index].tolist() == rows[name][index].as_py()
    assert batch["prosody"].isnan().any()


def test_audio_index_points_to_each_patch(rows: pa.RecordBatch) -> None:
    batch = collate(rows)
    expected = [b * T + t for b, places in enumerate(rows["audio_position"].to_pylist()) for t in places]
    assert batch["audio_index"].tolist() == expected
    np.testing.assert_array_equal(batch["audio"][5].numpy(), rows["audio"].flatten()[5].as_py())


def test_a_speaker_index_finds_the_rows_vector(rows: pa.RecordBatch) -> None:
    batch = collate(rows)
    b, t = (batch["speaker"] >= 0).nonzero()[-1].tolist()
    vector = rows["speaker_vector"][b].as_py()[rows["speaker"][b].as_py()[t]]
    assert batch["speaker_vectors"][batch["speaker"][b, t]].tolist() == vector


def test_positions_count_from_zero_in_each_document(rows: pa.RecordBatch) -> None:
    batch = collate(rows)
    for document, position in zip(batch["document"].tolist(), batch["position"].tolist(), strict=True):
        for number in set(document):
            own = [p for p, d in zip(position, document, strict=True) if d == number]
            assert own == list(range(len(own)))


def test_a_slice_gives_what_its_rows_give_in_the_whole(rows: pa.RecordBatch) -> None:
    whole, part = collate(rows), collate(rows.slice(2, 3))
    assert torch.equal(part["tokens"], whole["tokens"][2:5])
    inside = (whole["audio_index"] >= 2 * T) & (whole["audio_index"] < 5 * T)
    assert torch.equal(part["audio"], whole["audio"][inside])
    assert torch.equal(part["audio_index"], whole["audio_index"][inside] - 2 * T)
    known = part["speaker"] >= 0
    theirs = whole["speaker_vectors"][whole["speaker"][2:5][known]]
    assert torch.equal(part["speaker_vectors"][part["speaker"][known]], theirs)


def test_no_rows_give_an_empty_batch(rows: pa.RecordBatch) -> None:
    batch = collate(rows.slice(0, 0))
    assert batch["tokens"].shape == (0, T)
    assert batch["audio"].shape == (0, 640)
