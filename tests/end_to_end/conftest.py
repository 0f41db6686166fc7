"""One finished run that all end-to-end tests share: transcribing again for each would take minutes."""

import pytest
from tests.end_to_end.project import QUICK, Done, Project


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A project after its first `kedro run`, with few training steps, and what that run printed."""
    project = Project.create(tmp_path_factory.mktemp("base") / "project")
    return project, project.kedro("run", "--params", QUICK)
