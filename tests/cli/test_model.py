from click.testing import CliRunner

from nymph.cli.model import model
from nymph.model.presets import PRESETS


def test_every_preset_is_shown_at_the_length_asked_for() -> None:
    lines = CliRunner().invoke(model, ["presets", "--length", "4096"]).output.splitlines()
    assert [line.split()[0] for line in lines[1::2]] == list(PRESETS)
    assert {line.split()[2] for line in lines[1:]} == {"4,096"}
