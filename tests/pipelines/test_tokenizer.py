"""The tokenizer stage: wrong options stop it at once, units fit the tokenizer, reports are plain values."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from nymph.audio.decode import Samples
from nymph.compute import ComputeOptions
from nymph.datasets.tokenizer import CodebookDataset, TokenizerDataset
from nymph.errors import NymphError
from nymph.files import write_json
from nymph.ingestion.raw import RawFolder
from nymph.lazy import Lazy
from nymph.pipelines.parquet.nodes import pack_sequences
from nymph.pipelines.parquet.options import ParquetOptions
from nymph.pipelines.parquet.sounds import sounds_of
from nymph.pipelines.tokenizer.nodes import (
    check_tokenizer_options,
    encode_speech,
    fit_audio_units,
    report_fertility,
    train_tokenizer,
)
from nymph.pipelines.tokenizer.options import TokenizerParameters
from nymph.sequences.schema import vocabulary_size_of
from nymph.stores.items import StoredItems
from nymph.stores.recordings import Recordings
from nymph.stores.utterances import Utterances, write_utterances
from nymph.transcription.states import extract_states
from tests.sequences.conftest import FRAMES, make_utterance

NO_STATES = StoredItems(Path("/nowhere"), {})
OFFLINE = Lazy[Any]({"model": "offline-minilm"}, lambda: pytest.fail("the model was loaded"))


def options_of(values: dict[str, Any], classifier: Lazy[Any] = OFFLINE) -> TokenizerParameters:
    parameters = TokenizerParameters.model_validate(values)
    check_tokenizer_options(parameters, classifier)
    return parameters


def counting_encoder(samples: Samples) -> NDArray[np.float32]:
    """States of 20 ms that repeat every 160 ms: 0, 0, 1, 1, 2, 2, 3, 3."""
    return np.eye(4, dtype=np.float32)[np.arange(len(samples) // 320) // 2 % 4]


@pytest.fixture
def spoken(tmp_path: Path) -> tuple[Utterances, StoredItems]:
    corpus = [make_utterance(f"{k:032x}", k, start=0.5) for k in range(4)]
    write_utterances(tmp_path / "utterances.jsonl", corpus)
    (tmp_path / "frames").mkdir()
    for utterance in corpus:
        pq.write_table(FRAMES, tmp_path / "frames" / utterance["frames"]["file"])
    keys = {utterance["recording"]: "k" for utterance in corpus}
    return Utterances(tmp_path / "utterances.jsonl"), StoredItems(tmp_path / "frames", keys)


def test_a_label_without_a_token_is_named_before_any_work(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"id2label": {"0": "negative", "1": "joy"}})
    with pytest.raises(NymphError, match="'joy', which is not among"):
        options_of({}, Lazy({"model": str(tmp_path)}, lambda: pytest.fail("the model was loaded")))


def test_the_seeds_configuration_goes_before_the_parameters(tmp_path: Path) -> None:
    tokens = {"sentiment": ["<negative>", "<neutral>", "<positive>", "<joy>"]}
    write_json(tmp_path / "seed.json", {"vocab_size": 700, "special_tokens": tokens})
    given = {"vocabulary_size": 900, "seed_config": str(tmp_path / "seed.json"), "audio_units": {"units": 2}}
    options = options_of(given).settled()
    assert (options.vocabulary_size, options.audio_units.units) == (700, 2)
    assert options.special_tokens.sentiments[-1] == "joy"


def test_a_seed_configuration_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match=r"expected a tokenizer_config\.json"):
        options_of({"seed_config": str(tmp_path / "none.json")})


def test_units_go_from_the_frames_into_the_rows(tmp_path: Path, spoken: tuple[Utterances, StoredItems]) -> None:
    utterances, frames = spoken
    options = options_of({"vocabulary_size": 450, "audio_units": {"units": 8, "per_second": 25.0}})
    tokenizers = TokenizerDataset(filepath=str(tmp_path / "models" / "tokenizer.json"))
    codebooks = CodebookDataset(filepath=str(tmp_path / "models" / "units.safetensors"))
    tokenizers.save(train_tokenizer(utterances, options))
    codebooks.save(fit_audio_units(utterances, frames, NO_STATES, options, ParquetOptions()))
    tokenizer, codebook = tokenizers.load(), codebooks.load()
    assert (codebook.size, codebook.frames, tokenizer.extras.audio_units) == (8, 4, 8)
    assert tokenizer.id_ranges["audio_units"] == (tokenizer.size - 8, tokenizer.size)
    train, *_ = pack_sequences(utterances, frames, NO_STATES, tokenizer, codebook, ParquetOptions(context_length=1024))
    (made,) = train.outcomes(lambda item: False)
    made.value(tmp_path / "rows")
    rows = pq.read_table(tmp_path / "rows" / "00000.parquet")
    assert vocabulary_size_of(rows.schema) == tokenizer.size
    assert max(rows["tokens"].combine_chunks().flatten().to_pylist()) >= tokenizer.id_ranges["audio_units"][0]


def test_units_may_stand_for_the_states_of_an_encoder(tmp_path: Path, spoken: tuple[Utterances, StoredItems]) -> None:
    utterances, frames = spoken
    sound = np.sin(np.arange(60 * 16_000, dtype=np.float32))
    for unit in frames:
        reader = extract_states([sound[: 30 * 16_000], sound[30 * 16_000 :]], counting_encoder)
        pq.write_table(reader.read_all(), tmp_path / f"{unit}.e.parquet")
    states = StoredItems(tmp_path, dict.fromkeys(frames, "e"))
    options = options_of({"audio_units": {"units": 4, "per_second": 25.0, "of": "state"}})
    (made,) = fit_audio_units(utterances, frames, states, options, ParquetOptions()).outcomes(lambda item: False)
    for utterance in utterances:
        table = sounds_of(frames, states, "state")(utterance["frames"])
        units, _ = made.value(table)
        assert (units[::4] == units[0]).all()
        assert len(set(units[:4])) == 4


def test_no_recording_is_encoded_for_units_of_spectra(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "recordings.parquet")  # which is not there
    never = Lazy[Any]({"model": "x"}, lambda: pytest.fail("the encoder was loaded"))
    work, _ = encode_speech(
        RawFolder(tmp_path), recordings, never, options_of({"audio_units": {"units": 4}}), ComputeOptions()
    )
    assert work.items == []


def test_without_units_no_frame_is_read(spoken: tuple[Utterances, StoredItems]) -> None:
    utterances, frames = spoken
    nowhere = StoredItems(Path("/nowhere"), frames.keys)
    work = fit_audio_units(utterances, nowhere, NO_STATES, options_of({}), ParquetOptions())
    (made,) = work.outcomes(lambda item: False)
    assert made.value.size == 0


def test_another_number_of_units_keeps_every_other_id(spoken: tuple[Utterances, StoredItems]) -> None:
    utterances, _ = spoken
    few, many = (
        next(iter(train_tokenizer(utterances, options_of({"audio_units": {"units": n}})).outcomes(lambda _: False)))
        for n in (4, 16)
    )
    assert few.value.id_ranges["text"] == many.value.id_ranges["text"]
    assert few.value.id("<|unit:3|>") == many.value.id("<|unit:3|>")


def test_the_fertility_report_is_plain_values_with_a_line_for_the_summary(
    spoken: tuple[Utterances, StoredItems],
) -> None:
    utterances, _ = spoken
    (made,) = train_tokenizer(utterances, options_of({"vocabulary_size": 450})).outcomes(lambda item: False)
    report = report_fertility(utterances, made.value)
    assert json.loads(json.dumps(report)) == report
    assert report["summary"] == [f"{report['bytes_per_token']} bytes a token, {made.value.size} ids"]
