"""Audio units: learned from sound, kept beside the tokenizer, and targets in rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from nymph.errors import NymphError
from nymph.sequences.documents import build_documents
from nymph.sequences.mix import MixOptions
from nymph.sequences.schema import Modality
from nymph.sequences.streams import Tools
from nymph.sequences.tasks import TASKS
from nymph.sequences.units import Codebook, UnitOptions, fit_codebook
from nymph.tensors import save_tensors

from .conftest import FRAMES, arrays, make_utterance


def three_sounds() -> pa.Table:
    """80 ms each of three spectra, over and over, with a little noise."""
    random = np.random.default_rng(0)
    spectra = random.normal(size=(3, 80)) * 5
    mel = np.repeat(np.tile(spectra, (50, 1)), 8, axis=0) + random.normal(size=(1200, 80)) * 0.1
    return pa.table({"log_mel": pa.FixedSizeListArray.from_arrays(mel.astype(np.float32).ravel(), 80)})


def test_different_sounds_get_different_units_and_equal_ones_the_same() -> None:
    units, edges = fit_codebook([three_sounds()], UnitOptions(units=3))(three_sounds())
    assert edges.tolist() == list(range(0, 1201, 8))
    assert sorted(units[:3]) == [0, 1, 2]
    assert (units.reshape(-1, 3) == units[:3]).all()


def test_the_same_corpus_gives_the_same_codebook() -> None:
    first, second = (fit_codebook([FRAMES], UnitOptions(units=8, maximum_patches=300)) for _ in range(2))
    np.testing.assert_array_equal(first.centres, second.centres)


def test_a_codebook_is_kept_with_its_rules(tmp_path: Path) -> None:
    learned = fit_codebook([FRAMES], UnitOptions(units=8, per_second=25.0, run_length=True))
    learned.save(tmp_path / "audio_units.safetensors")
    loaded = Codebook.load(tmp_path / "audio_units.safetensors")
    assert loaded.fingerprint == learned.fingerprint
    for found, expected in zip(loaded(FRAMES), learned(FRAMES), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_codebook_of_no_units_is_kept_too(tmp_path: Path) -> None:
    fit_codebook([], UnitOptions()).save(tmp_path / "none.safetensors")
    assert Codebook.load(tmp_path / "none.safetensors").size == 0


def test_tensors_that_are_no_codebook_are_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "other.safetensors", {"weights": torch.zeros(2)})
    with pytest.raises(NymphError, match="not a codebook"):
        Codebook.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("options", [{"units": -1}, {"per_second": 50.0}])
def test_options_that_cannot_be_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(NymphError, match="expected"):
        UnitOptions(**options)  # type: ignore[arg-type]


def test_25_units_a_second_stand_for_40_ms_each() -> None:
    units, edges = fit_codebook([three_sounds()], UnitOptions(units=3, per_second=25.0))(three_sounds())
    assert np.diff(edges).tolist() == [4] * 300
    assert (units[0::2] == units[1::2]).all()


def test_a_sound_that_goes_on_is_one_unit_with_run_lengths() -> None:
    codebook = fit_codebook([three_sounds()], UnitOptions(units=3, per_second=25.0, run_length=True))
    units, edges = codebook(three_sounds())
    assert np.diff(edges).tolist() == [8] * 150
    assert (units[1:] != units[:-1]).all()


def test_a_corpus_smaller_than_the_codebook_is_an_error() -> None:
    with pytest.raises(NymphError, match="at least as many"):
        fit_codebook([FRAMES.slice(0, 16)], UnitOptions(units=8))


def test_a_codebook_grows_and_what_it_knew_stays(tmp_path: Path) -> None:
    two_sounds = pa.concat_tables([three_sounds().slice(24 * k, 16) for k in range(50)])
    path = tmp_path / "audio_units.safetensors"
    fit_codebook([two_sounds], UnitOptions(units=2)).save(path)
    grown = fit_codebook([three_sounds()], UnitOptions(units=3, base=str(path)))
    np.testing.assert_array_equal(grown.centres[:2], Codebook.load(path).centres)
    assert (grown(three_sounds())[0].reshape(-1, 3)[:, 2] == 2).all()
    np.testing.assert_array_equal(grown(two_sounds)[0], Codebook.load(path)(two_sounds)[0])


@pytest.mark.parametrize("changed", [{"units": 1}, {"units": 3, "per_second": 25.0}, {"units": 3, "of": "state"}])
def test_a_codebook_neither_shrinks_nor_changes_its_rules(tmp_path: Path, changed: dict[str, object]) -> None:
    path = tmp_path / "audio_units.safetensors"
    fit_codebook([FRAMES], UnitOptions(units=2)).save(path)
    with pytest.raises(NymphError, match="can grow, but neither"):
        fit_codebook([FRAMES], UnitOptions(base=str(path), **changed))  # type: ignore[arg-type]


def test_units_are_the_tokens_and_targets_of_speech(tools: Tools) -> None:
    codebook = fit_codebook([FRAMES], UnitOptions(units=8))
    speaking = replace(tools, tokenizer=tools.tokenizer.with_audio_units(8), units=codebook)
    utterance = make_utterance("r", 0)
    (made,) = build_documents([utterance], speaking, MixOptions({"speak": TASKS["speak"]}), 10_000)
    document = arrays(made)
    sound = document.modality == Modality.AUDIO
    frames = FRAMES.slice(utterance["frames"]["start"], utterance["frames"]["stop"] - utterance["frames"]["start"])
    first = speaking.tokenizer.id("<|unit:0|>")
    np.testing.assert_array_equal(document.tokens[sound] - first, codebook(frames)[0])
    assert (document.loss_weight[sound] == 1).all()


def test_placeholders_are_no_targets(tools: Tools) -> None:
    (made,) = build_documents([make_utterance("r", 0)], tools, MixOptions({"speak": TASKS["speak"]}), 10_000)
    document = arrays(made)
    sound = document.modality == Modality.AUDIO
    assert set(document.tokens[sound]) == {tools.tokenizer.id("<|audio|>")}
    assert (document.loss_weight[sound] == 0).all()


def test_a_tokenizer_without_the_codebooks_units_is_an_error(tools: Tools) -> None:
    with pytest.raises(NymphError, match="the codebook has 8 audio units, the tokenizer 0"):
        replace(tools, units=fit_codebook([FRAMES], UnitOptions(units=8)))


@pytest.mark.parametrize(("per_second", "run_length"), [(25.0, False), (12.5, True), (25.0, True)])
def test_units_of_any_length_cover_the_utterance_without_a_gap(
    tools: Tools, per_second: float, run_length: bool
) -> None:
    codebook = fit_codebook([FRAMES], UnitOptions(units=4, per_second=per_second, run_length=run_length))
    speaking = replace(tools, tokenizer=tools.tokenizer.with_audio_units(4), units=codebook)
    utterance = make_utterance("r", 0)
    (made,) = build_documents([utterance], speaking, MixOptions({"speak": TASKS["speak"]}), 10_000)
    document = arrays(made)
    seconds = document.seconds[document.audio_position]
    np.testing.assert_allclose(seconds[1:, 0], seconds[:-1, 1])
    assert (seconds[0, 0], seconds[-1, 1]) == pytest.approx((utterance["start"], utterance["end"]), abs=0.01)
