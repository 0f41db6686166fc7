"""`kedro score` with a transcriber that hears what the test says."""

from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset

from nymph.cli.score import score
from nymph.errors import NymphError
from nymph.lazy import Lazy
from nymph.transcription.schema import Utterance, Word, transcript_table
from tests.ingestion.conftest import tone


class Hears:
    """Says `good night`, word by word, of everything that is not called broken."""

    def transcribe(self, place: Path) -> pa.Table:
        if place.stem == "broken":
            raise NymphError("broken.wav: it ends too early")
        words = Word("good", 0.1, 1.0, 0.9, "aligned"), Word("night", 1.0, 2.0, 0.9, "aligned")
        return transcript_table([Utterance(words, "en", "speaker-1")])


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    for number, name in enumerate(("talk", "broken")):
        tone(tmp_path / f"{name}.wav", 2.0, 200 + number)
        (tmp_path / f"{name}.stm").write_text(f"{name} 1 anna 0.0 2.0 good morning\n")
    catalog = DataCatalog({"transcriber": MemoryDataset(Lazy("x", Hears), copy_mode="assign")})
    monkeypatch.setattr("nymph.cli.score.load_catalog", lambda metadata, env: catalog)
    return CliRunner().invoke(score, [str(tmp_path)], obj=bootstrap_project(Path(__file__).parents[2]))


def test_errors_of_words_times_and_speakers_are_printed(done: Result) -> None:
    assert done.exit_code == 0, done.output
    heading, broken, talk, all_of_them = done.output.splitlines()
    assert heading.split() == ["recording", "WER", "%", "edges", "ms", "DER", "%"]
    assert talk.split() == ["talk.wav", "50.0", "50.0", "5.0"]
    assert all_of_them.split() == ["all", "50.0", "50.0", "5.0"]
    assert "ends too early" in broken
