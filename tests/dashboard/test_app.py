"""The routes, over real logs."""

from pathlib import Path

import pytest

from nymph.dashboard.app import create_app
from nymph.errors import NymphError
from nymph.training.events import EVENTS

from .conftest import ADDRESS, Connect, open_log, write_steps


def test_the_page_allows_nothing_but_its_own_files(connect: Connect) -> None:
    with connect() as client:
        answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in answer.text.replace("https://nowhere", "")


@pytest.mark.parametrize(
    "file", ["chart.js", "main.js", "charts.js", "connection.js", "history.js", "panels.js", "style.css"]
)
def test_every_file_of_the_page_is_served_here(connect: Connect, file: str) -> None:
    with connect() as client:
        assert client.get(f"/static/{file}").status_code == 200


def test_a_stretch_of_a_run(connect: Connect) -> None:
    with connect() as client:
        body = client.get("/api/runs/first/series?start=4&stop=5").json()
    assert body["series"]["train/loss"] == [[3, 4, 5, 6], [0.333333, 0.25, 0.2, 0.166667]]


def test_the_settings_a_run_was_started_with(connect: Connect, runs: Path) -> None:
    with open_log(runs, "second") as log:
        log.write("start", step=0, job={"model": {"width": 128}, "seed": 7})
    with connect() as client:
        assert client.get("/api/runs/second/settings").json() == {"model.width": "128", "seed": "7"}


def test_the_table_holds_every_point_exactly(connect: Connect) -> None:
    with connect() as client:
        lines = client.get("/api/runs/first/metrics.csv").text.splitlines()
    assert lines[0] == "metric,step,value"
    assert f"train/loss,3,{1 / 3}" in lines
    assert len(lines) == 1 + 3 * 10


def test_a_formula_in_a_name_is_text_in_a_spreadsheet(connect: Connect, runs: Path) -> None:
    with open_log(runs) as log:
        log.write("=cmd|' /C calc'!A0", step=11, value=1)
    with connect() as client:
        assert "'=cmd" in client.get("/api/runs/first/metrics.csv").text


@pytest.mark.parametrize("name", ["..", "%2e%2e%2f", "..%2ffirst", "nobody", "first%00"])
def test_only_known_runs_have_numbers(connect: Connect, name: str) -> None:
    with connect() as client:
        assert client.get(f"/api/runs/{name}/metrics.csv").status_code == 404


def test_an_unclear_stretch_is_refused(connect: Connect) -> None:
    with connect() as client:
        assert client.get("/api/runs/first/series?start=now").status_code == 400


def test_a_page_without_chart_js_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="dashboard install"):
        create_app(tmp_path, project=tmp_path)


def test_a_foreign_host_name_is_refused(connect: Connect) -> None:
    with connect() as client:
        assert client.get("/", headers={"host": "evil.example:8787"}).status_code == 403


def test_an_exposed_page_asks_for_its_token(connect: Connect) -> None:
    token = "a-token-of-twenty-one"
    with connect(key=token, open_to_all=False) as client:
        assert client.get("/api/runs/first/metrics.csv").status_code == 401
        assert client.get("/", headers={"accept": "text/html"}, follow_redirects=False).headers["location"] == "/login"
        assert client.post("/login", data={"token": "wrong"}, headers={"origin": ADDRESS}).status_code == 401
        client.post("/login", data={"token": token}, headers={"origin": ADDRESS})
        assert client.get("/api/runs/first/metrics.csv").status_code == 200


def test_a_program_shows_its_token_in_a_header(connect: Connect) -> None:
    with connect(key="a-token-of-twenty-one", open_to_all=False) as client:
        good = client.get("/health", headers={"authorization": "Bearer a-token-of-twenty-one"})
        assert good.status_code == 200
        assert client.get("/health", headers={"authorization": "Bearer nö".encode()}).status_code == 401


def test_a_log_that_grows_is_read_on(connect: Connect, runs: Path) -> None:
    with connect() as client, open_log(runs) as log:
        write_steps(log, 11, 12)
        while (body := client.get("/api/runs/first/series?start=12&stop=12").json())["series"]["train/loss"][0][
            -1
        ] < 12:
            pass
    assert body["series"]["train/loss"][0] == [11, 12]


def test_a_log_nobody_can_read_hides_no_other(connect: Connect, runs: Path) -> None:
    (runs / "odd" / EVENTS).mkdir(parents=True)
    with connect() as client:
        assert client.get("/api/runs/first/metrics.csv").status_code == 200
