"""The stack's own certificate authority, server certificates and ES256 identity keys.

All are made at the first start and kept. Certificates of servers are renewed when less than a month is left.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.local.accounts import Account

YEAR = timedelta(days=365)


def replace(path: Path, content: bytes, mode: int, account: Account | None = None) -> None:
    """Writes a file so that whoever opens it sees the whole of the old content or of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    beside.touch(mode=0o600)
    beside.write_bytes(content)
    if account is None:
        beside.chmod(mode)
    else:
        account.own(beside, mode)
    beside.rename(path)


def private_key(path: Path, mode: int = 0o400) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in `path` (PKCS #8 PEM), made when there is none."""
    if path.exists():
        loaded = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        return loaded
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    replace(path, pem, mode)
    return key


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Authority:
    """A root CA in `directory` (ca.pem, ca.key) that signs the stack's server certificates.

    `ca.pem` may hold others after it, which are trusted while one is replaced by another.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.certificate_file = directory / "ca.pem"
        self._key = private_key(directory / "ca.key")
        if not self.certificate_file.exists():
            replace(
                self.certificate_file, self._self_signed(name).public_bytes(serialization.Encoding.PEM), 0o444
            )
        self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())

    def _self_signed(self, name: str) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            self._builder(subject, subject, self._key.public_key(), 10 * YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
            )
            .sign(self._key, hashes.SHA256())
        )

    @staticmethod
    def _builder(
        subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + lifetime)
        )

    def server(self, name: str, hosts: list[str]) -> tuple[Path, Path]:
        """(certificate, key) files `<name>.pem` and `<name>.key` for the given names and addresses.

        A certificate that will do is kept: of this authority, with a month left.
        """
        certificate_file, key_file = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        if certificate_file.exists() and key_file.exists():
            found = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            left = found.not_valid_after_utc - datetime.now(UTC)
            if left > timedelta(days=30) and self._made(found):
                return certificate_file, key_file
        key = private_key(key_file)
        names = [_general_name(host) for host in hosts]
        certificate = (
            self._builder(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])]),
                self._certificate.subject,
                key.public_key(),
                YEAR,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        replace(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), 0o444)
        return certificate_file, key_file

    def _made(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
