"""Speaker vectors against Resemblyzer itself, and on voices."""

import importlib
import subprocess
import sys
import types

import numpy as np
import pytest

from nymph.audio.speaker import SIZE, SpeakerEncoder, normalise, partial_starts
from nymph.errors import NymphError


@pytest.fixture(scope="module")
def resemblyzer():
    """The original, with stand-ins for the two modules that its VAD alone needs."""
    with pytest.MonkeyPatch.context() as patch:
        vad, morphology = types.ModuleType("webrtcvad"), types.ModuleType("morphology")
        morphology.binary_dilation = None
        patch.setitem(sys.modules, "webrtcvad", vad)
        patch.setitem(sys.modules, "scipy.ndimage.morphology", morphology)
        return importlib.import_module("resemblyzer").VoiceEncoder("cpu", verbose=False)


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return SpeakerEncoder.load()


def test_vector_has_length_one(encoder, speech):
    vector = encoder.embed(speech[:80_000])
    assert (vector.shape, vector.dtype) == ((SIZE,), np.float32)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("length", [1, 8000, 30_000, 80_000])
def test_vector_equals_resemblyzers(length, encoder, resemblyzer, speech):
    part = speech[100_000 : 100_000 + length]
    np.testing.assert_allclose(encoder.embed(part), resemblyzer.embed_utterance(part), atol=1e-6)


@pytest.mark.parametrize("samples", [1, 16_000, 25_600, 31_000, 32_000, 60_000, 100_000])
def test_windows_are_resemblyzers(samples, resemblyzer):
    _, slices = resemblyzer.compute_partial_slices(samples, 1.3, 0.75)
    assert partial_starts(samples) == [window.start for window in slices]


def test_one_voice_is_closer_to_itself_than_to_another(encoder, speech):
    first, again, other = (
        encoder.embed(speech[round(start * 16_000) : round(end * 16_000)])
        for start, end in [(10.6, 14.4), (18.7, 21.4), (22.0, 28.0)]  # from the sample's reference diarization
    )
    assert first @ again > 0.87 > first @ other


def test_many_parts_are_each_what_it_is_alone(encoder, speech):
    parts = [speech[start : start + length] for start in range(0, 300_000, 15_000) for length in (4_000, 40_000)]
    parts.insert(3, np.zeros(16_000, np.float32))
    together = list(encoder.embed_many(parts))
    np.testing.assert_allclose(together, [encoder.embed(part) for part in parts], atol=1e-6)


def test_no_sound_is_no_direction(encoder):
    assert not encoder.embed(np.zeros(16_000, np.float32)).any()
    assert not encoder.embed(np.zeros(0, np.float32)).any()


def test_quiet_speech_is_raised_to_30_db_below_full_scale(tone):
    assert 10 * np.log10(np.mean(normalise(tone * 0.01) ** 2)) == pytest.approx(-30, abs=0.01)
    assert normalise(tone) is tone
    assert not normalise(np.zeros(10, np.float32)).any()


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"not weights")
    with pytest.raises(NymphError, match=r"weights\.pt"):
        SpeakerEncoder.load(path)


def test_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    canary = tmp_path / "canary"

    class Attack:
        def __reduce__(self):
            return canary.touch, ()

    torch.save({"model_state": Attack()}, tmp_path / "weights.pt")
    with pytest.raises(NymphError):
        SpeakerEncoder.load(tmp_path / "weights.pt")
    assert not canary.exists()


def test_importing_audio_loads_nothing_heavy():
    code = "import nymph.audio, nymph.audio.decode, nymph.audio.speaker, nymph.audio.prosody, sys\n"
    code += "print(sorted({'torch', 'numba', 'librosa', 'resemblyzer'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
