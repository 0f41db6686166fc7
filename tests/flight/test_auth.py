"""Tokens: what a header grants, and what a token file must look like."""

import json
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pyarrow.flight as fl
import pytest

from nymph.errors import NymphError
from nymph.flight.auth import Authenticator, Token, load_tokens

INFO = SimpleNamespace(method="do_get")


def granted(header: list[str]) -> frozenset[str]:
    tokens = [Token.of("first", ["read"]), Token.of("second", ["write"])]
    return Authenticator(tokens).start_call(INFO, {"authorization": header}).scopes


def test_each_token_grants_its_scopes() -> None:
    assert granted(["Bearer first"]) == {"read"}
    assert granted(["bearer second"]) == {"write"}


@pytest.mark.parametrize(
    "header", [[], ["first"], ["Basic first"], ["Bearer  first"], ["Bearer first", "Bearer first"], ["Bearer first\n"]]
)
def test_anything_else_grants_nothing(header: list[str]) -> None:
    with pytest.raises(fl.FlightUnauthenticatedError):
        granted(header)


@pytest.mark.parametrize(("ago", "admitted"), [(-3600, True), (1, True), (3600, False)])
def test_an_expired_token_has_a_minute_for_clocks_that_differ(ago: float, admitted: bool) -> None:
    token = Token.of("first", ["read"], expires=time.time() - ago)
    outcome = nullcontext() if admitted else pytest.raises(fl.FlightUnauthenticatedError)
    with outcome:
        Authenticator([token]).start_call(INFO, {"authorization": ["Bearer first"]})


def test_a_token_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"trainer": {"token": "abc"}, "backup": {"token": "d", "scopes": ["write"]}}))
    path.chmod(0o600)
    assert load_tokens(path) == [Token.of("abc", ["read"]), Token.of("d", ["write"])]


def test_a_token_file_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text("{}")
    path.chmod(0o644)
    with pytest.raises(NymphError, match="chmod 600"):
        load_tokens(path)


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(NymphError, match="scopes among"):
        Token.of("abc", ["reed"])


def test_the_secret_is_not_kept() -> None:
    assert "hidden-word" not in repr(Token.of("hidden-word"))
