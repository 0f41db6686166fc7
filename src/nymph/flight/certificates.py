"""A certificate authority of one's own and certificates for two boxes, made with the `cryptography` package.

For a private network: nobody else trusts this authority, and whoever holds its key can make certificates for it.
Keys are written with mode 0600, in a folder of mode 0700.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nymph.errors import NymphError
from nymph.files import atomic_file


@dataclass(frozen=True)
class CertificateFiles:
    """Where the files of an authority and the certificates it signed lie."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path, hosts: Sequence[str], days: int = 825) -> CertificateFiles:
    """Write an authority, a server certificate for `hosts` (names or addresses) and a client certificate.

    NymphError where `folder` already holds an authority: certificates that are out there would stop working.
    """
    files = CertificateFiles(
        *(folder / name for name in ("authority.pem", "server.pem", "server.key", "client.pem", "client.key"))
    )
    if files.authority.exists():
        raise NymphError(f"{str(files.authority)!r} exists: use it, or delete the folder to begin anew")
    if not hosts or days < 1:
        raise NymphError(f"expected at least one host and one day, got {list(hosts)!r} and {days!r}")
    authority = _Identity.authority(days)
    server = authority.signs("Nymph Flight server", days, hosts=hosts)
    client = authority.signs("Nymph Flight client", days)
    _write(folder / "authority.key", authority.key_pem, 0o600)
    for identity, certificate, key in (
        (server, files.server, files.server_key),
        (client, files.client, files.client_key),
    ):
        _write(certificate, identity.pem, 0o644)
        _write(key, identity.key_pem, 0o600)
    _write(files.authority, authority.pem, 0o644)  # last: where it lies, the others do
    return files


@dataclass(frozen=True)
class _Identity:
    """A certificate and its private key."""

    certificate: Any
    key: Any

    @classmethod
    def authority(cls, days: int) -> "_Identity":
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder("Nymph local authority", "Nymph local authority", key, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(sign=True), critical=True)
        return cls(_sign(builder, key), key)

    def signs(self, name: str, days: int, hosts: Sequence[str] = ()) -> "_Identity":
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, "Nymph local authority", key, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign=False), critical=True)
        purpose = Purpose.SERVER_AUTH if hosts else Purpose.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        names = [_general_name(host) for host in hosts] or [x509.DNSName("nymph-client")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return _Identity(_sign(builder, self.key), key)

    @property
    def pem(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding

        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _builder(subject: str, issuer: str, key: Any, days: int) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks of two boxes differ
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _sign(builder: Any, key: Any) -> Any:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _usage(sign: bool) -> Any:
    from cryptography import x509

    others = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=sign, crl_sign=sign, **others)


def _general_name(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, data: bytes, mode: int) -> None:
    """The folder is closed to others first, so that no key is readable even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.chmod(path.parent, 0o700)
    with atomic_file(path) as file:
        file.write(data)
    os.chmod(path, mode)
