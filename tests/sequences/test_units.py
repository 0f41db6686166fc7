"""Audio units: learned from sound, kept beside the tokenizer, and targets in rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nymph.errors import NymphError
from nymph.sequences.documents import MixOptions, build_documents
from nymph.sequences.features import patch_means
from nymph.sequences.schema import Modality
from nymph.sequences.streams import Tools
from nymph.sequences.tasks import TASKS
from nymph.sequences.units import Codebook, UnitOptions, fit_codebook

from .conftest import FRAMES, arrays, make_utterance


def three_sounds() -> pa.Table:
    """80 ms each of three spectra, over and over, with a little noise."""
    random = np.random.default_rng(0)
    spectra = random.normal(size=(3, 80)) * 5
    mel = np.repeat(np.tile(spectra, (50, 1)), 8, axis=0) + random.normal(size=(1200, 80)) * 0.1
    return pa.table({"log_mel": pa.FixedSizeListArray.from_arrays(mel.astype(np.float32).ravel(), 80)})


def test_different_sounds_get_different_units_and_equal_ones_the_same() -> None:
    units = fit_codebook([three_sounds()], UnitOptions(units=3))(patch_means(three_sounds()))
    assert sorted(units[:3]) == [0, 1, 2]
    assert (units.reshape(-1, 3) == units[:3]).all()


def test_the_same_corpus_gives_the_same_codebook() -> None:
    first, second = (fit_codebook([FRAMES], UnitOptions(units=8, maximum_patches=300)) for _ in range(2))
    np.testing.assert_array_equal(first.centres, second.centres)


def test_a_codebook_is_kept(tmp_path: Path) -> None:
    learned = fit_codebook([FRAMES], UnitOptions(units=8))
    learned.save(tmp_path / "audio_units.safetensors")
    means = patch_means(FRAMES)
    np.testing.assert_array_equal(Codebook.load(tmp_path / "audio_units.safetensors")(means), learned(means))


def test_a_corpus_smaller_than_the_codebook_is_an_error() -> None:
    with pytest.raises(NymphError, match="at least as many"):
        fit_codebook([FRAMES.slice(0, 16)], UnitOptions(units=8))


def test_units_are_the_tokens_and_targets_of_speech(tools: Tools) -> None:
    codebook = fit_codebook([FRAMES], UnitOptions(units=8))
    speaking = replace(tools, tokenizer=tools.tokenizer.with_audio_units(8), units=codebook)
    utterance = make_utterance("r", 0)
    (made,) = build_documents([utterance], speaking, MixOptions({"speak": TASKS["speak"]}), 10_000)
    document = arrays(made)
    sound = document.modality == Modality.AUDIO
    frames = FRAMES.slice(utterance["frames"]["start"], utterance["frames"]["stop"] - utterance["frames"]["start"])
    first = speaking.tokenizer.id("<|unit:0|>")
    np.testing.assert_array_equal(document.tokens[sound] - first, codebook(patch_means(frames)))
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
