import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from nymph.errors import NymphError
from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.models import OFFLINE_WHISPER, whisper_model


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="batchsize"):
        TranscriptionConfig.model_validate({"batchsize": 4})


def test_offset_above_onset_is_refused() -> None:
    with pytest.raises(ValidationError, match="vad_offset must not exceed"):
        TranscriptionConfig(vad_onset=0.3, vad_offset=0.4)


def test_the_offline_model_is_a_folder_on_this_machine() -> None:
    assert Path(whisper_model(OFFLINE_WHISPER), "model.bin").is_file()


def test_a_folder_without_a_model_says_what_is_missing(tmp_path) -> None:
    with pytest.raises(NymphError, match=r"no model\.bin"):
        whisper_model(str(tmp_path))


def test_an_unknown_model_offline_names_the_offline_one(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NymphError, match=OFFLINE_WHISPER):
        whisper_model("nobody/has-this-whisper")


def test_importing_the_engine_loads_nothing_heavy() -> None:
    heavy = "('torch', 'whisperx', 'ctranslate2')"
    code = f"import sys, nymph.transcription.engine; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
