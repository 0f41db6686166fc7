"""What a newcomer sees: the first run, the second run, bad input, wrong words."""

import json
import signal

import nbformat
import pytest
from nbclient import NotebookClient

from nymph.training.events import read_events
from tests.end_to_end.project import FEW_STEPS, QUICK, REPOSITORY, Done, Project, kill_group, wait_for, wait_for_another

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(900)]

STAGES = ("ingestion", "transcription", "features", "sentiment", "tokenizer", "parquet", "training", "evaluation")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A project after its first `kedro run`, with few training steps, and what that run printed."""
    project = Project.create(tmp_path_factory.mktemp("base") / "project")
    return project, project.kedro("run", "--params", QUICK)


def test_the_first_run_ends_with_a_table_losses_and_where_to_look(base: tuple[Project, Done]) -> None:
    _, done = base
    assert done.code == 0, done.output
    table = [line.split("│")[1] for line in done.lines if line.count("│") == 8]
    assert tuple(cell.strip() for cell in table if not cell.startswith("   ")) == STAGES  # outputs are indented
    for words in ("training loss", "validation loss", "test loss", "kedro dashboard", "kedro viz run", "kedro mlflow"):
        assert words in done.output


def test_the_sample_was_understood(base: tuple[Project, Done]) -> None:
    project, _ = base
    lines = (project.root / "data/02_intermediate/utterances.jsonl").read_text().splitlines()
    utterances = [json.loads(line) for line in lines]
    text = " ".join(utterance["text"] for utterance in utterances).lower()
    assert "new jersey" in text
    assert "chicago" in text
    assert all(utterance["prosody"] and utterance["sentiment"] and utterance["frames"] for utterance in utterances)


def test_no_step_opened_a_connection(base: tuple[Project, Done]) -> None:
    project, _ = base
    attempts = project.root / "connections.txt"
    assert not attempts.exists(), attempts.read_text()


def test_the_notebook_runs_on_what_the_run_made(base: tuple[Project, Done]) -> None:
    project, _ = base
    notebook = nbformat.read(REPOSITORY / "docs/notebooks/explore.ipynb", as_version=4)
    resources = {"metadata": {"path": str(project.root)}}
    NotebookClient(notebook, timeout=600, startup_timeout=300, resources=resources).execute()
    shown = [out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", [])]
    assert sum("image/png" in data for data in shown) == 2
    assert any("<audio" in data.get("text/html", "") for data in shown)


def test_the_second_run_repeats_no_preparation_and_says_so(base: tuple[Project, Done]) -> None:
    project, _ = base
    before = {path: path.stat().st_mtime_ns for path in (project.root / "data").rglob("*.parquet")}
    done = project.kedro("run", "--params", QUICK)
    assert done.code == 0, done.output
    assert "No preparation work was repeated" in done.output
    assert "already finished" in done.output
    made = {path: time for path, time in before.items() if "quarantine" not in str(path)}
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_bad_files_are_quarantined_and_named_and_the_rest_is_used(base: tuple[Project, Done]) -> None:
    project, _ = base
    raw = project.root / "data/01_raw"
    (raw / "empty.wav").touch()
    (raw / "notes.wav").write_text("this is text\n")
    (raw / "lines.jsonl").write_text('{"text": "A good line about nothing."}\n{"text": \n')
    done = project.kedro("run", "--pipelines", ",".join(STAGES[:4]))
    for path in ("empty.wav", "notes.wav", "lines.jsonl"):
        (raw / path).unlink()
    assert done.code == 0, done.output
    for words in ("empty.wav: empty", "notes.wav: not_audio", "lines.jsonl:2: bad_json"):
        assert words in done.output
    assert "A good line about nothing." in (project.root / "data/02_intermediate/utterances.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("run", "--params", "training.stepz=5,training.optimiser.learning_rat=5"),
            ("no option 'training.stepz'; did you mean 'steps'?", "did you mean 'learning_rate'?"),
        ),
        (("run", "--env", "ryzn"), ("no environment 'ryzn'",)),
        (("run", "--pipelines", "trainin"), ("trainin",)),
        (("run", "--env", "threadripper"), ("127.0.0.1:1",)),
        (("serve", "--port", "70000"), ("port",)),
    ],
    ids=["parameters", "environment", "pipeline", "flight", "port"],
)
def test_a_wrong_word_is_one_clear_line(
    base: tuple[Project, Done], arguments: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    project, _ = base
    (project.root / "conf/threadripper/globals.yml").write_text("connection: {patience: 1}\n")  # for a missing server
    done = project.kedro(*arguments, NYMPH_FLIGHT="grpc://127.0.0.1:1")
    assert done.code != 0
    errors = [line for line in done.lines if line.startswith(("error:", "Error:"))]
    assert len(errors) == 1, done.output
    assert all(words in errors[0] for words in expected), errors[0]
    assert "Traceback" not in done.output


def test_killed_training_continues_from_the_last_checkpoint(base: tuple[Project, Done]) -> None:
    project, _ = base
    runs = project.root / "data/08_reporting/runs"
    before = set(runs.glob("tiny-*"))
    command = ("run", "--pipelines", "training", "--params", f"{FEW_STEPS},training.steps=400,training.seed=7")
    process = project.start(*command)
    try:
        name = wait_for_another(runs, before).name
        wait_for(project.root / "data/06_models/checkpoints" / name, "step-00000003/manifest.json")
    finally:
        kill_group(process, signal.SIGKILL)
    again = project.kedro(*command[:-1], f"{FEW_STEPS},training.steps=400,training.max_seconds=4,training.seed=7")
    assert again.code == 0, again.output
    assert "continued from step-" in again.output
    steps = [event["step"] for event in read_events(runs / name / "events.jsonl") if event["kind"] == "resume"]
    assert steps[0] >= 3
