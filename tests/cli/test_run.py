"""`kedro run`: what its own options become."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from nymph.cli.run import kedro_run, run

PROJECT = SimpleNamespace(project_path=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("given", "chat"),
    [
        ([], None),
        (["--max-conversations", "7"], {"maximum_conversations": 7}),
        (
            ["--max-conversations", "7", "--params", "ingestion.chat.maximum_rank=2"],
            {"maximum_rank": 2, "maximum_conversations": 7},
        ),
    ],
)
def test_the_most_conversations_are_a_parameter(
    given: list[str], chat: dict[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(kedro_run, "callback", lambda **options: seen.update(options))
    result = CliRunner().invoke(run, ["--pipelines", "ingestion", *given], obj=PROJECT, catch_exceptions=False)
    assert result.exit_code == 0
    assert seen["params"].get("ingestion", {}).get("chat") == chat
