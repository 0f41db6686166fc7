"""Who may talk to the dashboard: known Host names, pages it served itself, and holders of its key.

Whoever reaches a loopback port may look; looking at an exposed one, and every command wherever it listens, needs the
key: as a cookie from the login page, which no other site's page can send along, or as a bearer token from programs.

A page on the internet can make a browser open `ws://127.0.0.1`; the Origin check refuses it. A DNS name rebound to
127.0.0.1 carries the wrong Host; that check refuses it. Both happen before a WebSocket is accepted.
"""

import hmac
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

COOKIE = "nymph"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOGIN = "/login"
_OPEN_PATHS = (LOGIN, "/static/")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class Guard:
    """ASGI middleware. `key=None` permits no command at all; `open_to_all` lets everybody look (loopback)."""

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str] = LOOPBACK, key: str | None = None, open_to_all: bool = True
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._key = key
        self._open = open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        refusal = self._refusal(scope)
        if refusal is None:
            return await self._app(scope, receive, _with_headers(send))
        if scope["type"] == "websocket":
            return await WebSocket(scope, receive, send).send_denial_response(refusal)
        return await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _hostname(host) not in self._hosts:
            return Response("unknown host", 403)
        is_program = self._is_key(_bearer(headers))
        changes = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD")
        from_here = urlsplit(headers.get("origin", "")).netloc == host
        if (changes or scope["type"] == "websocket") and not (from_here or is_program):
            return Response("foreign origin", 403)
        command = changes and scope["path"] != LOGIN
        known = is_program or self._is_key(_cookie(headers.get("cookie", "")))
        scope["state"] = {**scope.get("state", {}), "has_key": known}
        if known or (self._open and not command) or scope["path"].startswith(_OPEN_PATHS):
            return None
        wants_page = scope["type"] == "http" and "text/html" in headers.get("accept", "")
        return RedirectResponse(LOGIN, 303) if wants_page else Response("key missing", 401)

    def _is_key(self, given: str) -> bool:
        return self._key is not None and matches(given, self._key)


def matches(given: str, key: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), key.encode())


def _bearer(headers: Headers) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value if kind == "Bearer" else ""


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Any = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return send_with_headers
