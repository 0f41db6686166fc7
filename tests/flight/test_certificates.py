"""TLS with an authority of one's own: who is let in, and what the others are told.

By 127.0.0.1: `localhost` has two addresses on some machines, and gRPC tells what went wrong at the last it tried.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import trustme

from nymph.errors import NymphError
from nymph.flight.certificates import CertificateFiles, make_certificates
from nymph.flight.listening import Tls
from nymph.flight.server import FlightServer
from nymph.flight.source import open_source
from nymph.flight.tickets import Ticket

from .rows import ids, shards

Serve = Callable[..., FlightServer]


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_certificates(tmp_path / "certificates", ["localhost", "127.0.0.1"])


def test_mutual_tls_serves_who_has_a_certificate(tmp_path: Path, serve: Serve, files: CertificateFiles) -> None:
    tls = Tls(files.server, files.server_key, files.authority)
    server = serve({"t": shards(tmp_path / "t", 9)}, tls=tls, token="secret")
    address = f"grpc+tls://127.0.0.1:{server.port}/t"
    known = {"ca_file": str(files.authority), "token": "secret"}
    mine = {"certificate_file": str(files.client), "key_file": str(files.client_key)}
    assert len(ids(open_source(address, **known, **mine).batches(Ticket("any")))) == 9
    with pytest.raises(NymphError, match="certificate_file is one that it trusts"):
        open_source(address, **known, patience=0.2)
    other = make_certificates(tmp_path / "other", ["localhost"])
    with pytest.raises(NymphError, match="certificate_file is one that it trusts"):
        open_source(address, **known, certificate_file=str(other.client), key_file=str(other.client_key), patience=0.2)
    with pytest.raises(NymphError, match=r"begins with grpc\+tls://"):
        open_source(f"grpc://127.0.0.1:{server.port}/t", patience=0.2)


def test_another_authority_is_a_certificate_problem(tmp_path: Path, serve: Serve, files: CertificateFiles) -> None:
    other = make_certificates(tmp_path / "other", ["localhost"])
    server = serve({"t": shards(tmp_path / "t", 9)}, tls=Tls(files.server, files.server_key))
    with pytest.raises(NymphError, match="TLS handshake failed"):
        open_source(f"grpc+tls://127.0.0.1:{server.port}/t", ca_file=str(other.authority), patience=5)


def test_another_host_name_is_a_certificate_problem(tmp_path: Path, serve: Serve) -> None:
    files = make_certificates(tmp_path / "certificates", ["data.example"])
    server = serve({"t": shards(tmp_path / "t", 9)}, tls=Tls(files.server, files.server_key))
    with pytest.raises(NymphError, match="TLS handshake failed"):
        open_source(f"grpc+tls://127.0.0.1:{server.port}/t", ca_file=str(files.authority), patience=5)


def test_an_expired_certificate_is_a_certificate_problem(tmp_path: Path, serve: Serve) -> None:
    authority = trustme.CA()
    expired = authority.issue_cert("127.0.0.1", not_before=datetime(2020, 1, 1), not_after=datetime(2021, 1, 1))
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    expired.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    expired.private_key_pem.write_to_path(tmp_path / "server.key")
    server = serve({"t": shards(tmp_path / "t", 9)}, tls=Tls(tmp_path / "server.pem", tmp_path / "server.key"))
    with pytest.raises(NymphError, match="TLS handshake failed; check ca_file, the host name and the expiry"):
        open_source(f"grpc+tls://127.0.0.1:{server.port}/t", ca_file=str(tmp_path / "authority.pem"), patience=5)


def test_keys_are_for_their_owner_only(files: CertificateFiles) -> None:
    for key in (files.server_key, files.client_key, files.authority.with_suffix(".key")):
        assert key.stat().st_mode & 0o077 == 0


def test_an_authority_is_never_replaced(files: CertificateFiles) -> None:
    with pytest.raises(NymphError, match="exists"):
        make_certificates(files.authority.parent, ["localhost"])
