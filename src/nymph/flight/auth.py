"""Bearer tokens with scopes. Only their hashes are kept, all are compared in constant time, none is ever logged."""

import hashlib
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.files import read_json

SCOPES = frozenset({"read", "write", "admin"})
_LEEWAY = 60.0


@dataclass(frozen=True)
class Token:
    """One token a server accepts."""

    digest: bytes
    """sha256 of the token."""
    scopes: frozenset[str] = SCOPES
    expires: float | None = None
    """Unix seconds; a minute of leeway is given for clocks that differ."""

    @classmethod
    def of(cls, secret: str, scopes: Iterable[str] = SCOPES, expires: float | None = None) -> "Token":
        """The token for `secret`; NymphError for an empty one or an unknown scope."""
        chosen = frozenset(scopes)
        if not secret.strip() or not chosen <= SCOPES:
            raise NymphError(f"expected a token and scopes among {sorted(SCOPES)}, got scopes {sorted(chosen)}")
        return cls(_digest(secret.strip().encode()), chosen, expires)


def load_tokens(path: Path) -> list[Token]:
    """Tokens of a JSON file `{name: {"token": ..., "scopes": [...], "expires": seconds or null}}` with mode 0600."""
    try:
        mode = path.stat().st_mode & 0o077
        entries = read_json(path)
    except (OSError, ValueError) as error:
        raise NymphError(f"cannot read tokens from {str(path)!r}: {type(error).__name__}") from None
    if mode:
        raise NymphError(f"{str(path)!r} can be read by others: run chmod 600 on it")
    try:
        return [Token.of(one["token"], one.get("scopes", ["read"]), one.get("expires")) for one in entries.values()]
    except (AttributeError, KeyError, TypeError):
        raise NymphError(
            f'{str(path)!r}: expected {{"name": {{"token": "...", "scopes": ["read"], "expires": null}}}}'
        ) from None


class Granted(fl.ServerMiddleware):
    """What the caller of one call may do."""

    def __init__(self, scopes: frozenset[str]) -> None:
        self.scopes = scopes


class Authenticator(fl.ServerMiddlewareFactory):
    """Checks the `authorization` header of every call; without tokens everyone may do everything."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = list(tokens)

    def start_call(self, info: fl.CallInfo, headers: dict[str, list[Any]]) -> Granted:
        """The caller's scopes; FlightUnauthenticatedError for no, a wrong or an expired token, or two headers."""
        if not self._tokens:
            return Granted(SCOPES)
        values = headers.get("authorization", [])
        scopes = self._scopes(values[0]) if len(values) == 1 else None
        if scopes is None:
            raise fl.FlightUnauthenticatedError(
                "expected the header `authorization: Bearer <token>` with a valid token"
            )
        return Granted(scopes)

    def _scopes(self, header: str | bytes) -> frozenset[str] | None:
        text = header.encode("utf-8", "replace") if isinstance(header, str) else header
        kind, _, secret = text.partition(b" ")
        given, found = _digest(secret), None
        for token in self._tokens:  # all of them, so that time tells nothing
            if hmac.compare_digest(token.digest, given) and not _expired(token):
                found = token.scopes
        return found if kind.lower() == b"bearer" else None


def _expired(token: Token) -> bool:
    return token.expires is not None and time.time() > token.expires + _LEEWAY


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
