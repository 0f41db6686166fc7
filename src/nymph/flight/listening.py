"""Where a server listens: its address, its certificate, and what it must have to be reached from other machines."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nymph.errors import NymphError


@dataclass(frozen=True)
class Tls:
    """Files of a server's certificate; with `client_ca` clients must show one that this authority signed."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    certificate: Path
    key: Path
    client_ca: Path | None = None


def check_exposure(host: str, tls: bool, token: bool, insecure: bool) -> None:
    """NymphError for a host beyond this machine without TLS and a token, unless that is wanted (`insecure`)."""
    if insecure or _is_loopback(host) or (tls and token):
        return
    missing = " and ".join(name for name, there in (("TLS", tls), ("a token", token)) if not there)
    raise NymphError(
        f"refusing to listen on {host!r} without {missing}: everyone on the network could read the data; "
        "make certificates and a token, or say insecure where the network is your own"
    )


def location_of(host: str, port: int, tls: Tls | None) -> str:
    """The address to listen on, as Arrow Flight writes it."""
    name = f"[{host}]" if ":" in host else host
    return f"{'grpc+tls' if tls else 'grpc'}://{name}:{port}"


def certificates_of(tls: Tls | None) -> dict[str, Any]:
    """Arguments of `FlightServerBase`; NymphError where a file cannot be read."""
    if tls is None:
        return {}
    chosen: dict[str, Any] = {"tls_certificates": [(_pem(tls.certificate), _pem(tls.key))]}
    if tls.client_ca is not None:
        chosen |= {"verify_client": True, "root_certificates": _pem(tls.client_ca)}
    return chosen


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _pem(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise NymphError(f"cannot read {str(path)!r}: {error.strerror}") from None
