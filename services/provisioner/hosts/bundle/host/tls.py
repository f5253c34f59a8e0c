"""Reading certificates by the openssl program: the host has no other library for it."""

import base64
import datetime
import hashlib
import pathlib
import re
import subprocess
import tempfile
from typing import NamedTuple

from .bootstrap import Refused, run

TRUST = "/etc/ssl/certs/ca-certificates.crt"
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


class Certificate(NamedTuple):
    """The leaf of a PEM file."""

    names: tuple[str, ...]
    issuer: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    self_signed: bool
    spki_sha256: str
    certificate_sha256: str


def chain(path: pathlib.Path) -> list[bytes]:
    """Certificates of a PEM file in their order; the leaf is first."""
    return _BLOCK.findall(path.read_bytes())


def _time(text: str) -> datetime.datetime:
    parsed = datetime.datetime.strptime(text.strip(), "%b %d %H:%M:%S %Y GMT")
    return parsed.replace(tzinfo=datetime.UTC)


def _der(pem: str) -> bytes:
    return base64.b64decode(
        "".join(line for line in pem.splitlines() if line and not line.startswith("-----"))
    )


def describe(path: pathlib.Path) -> Certificate:
    """Refused("no_certificate") when the file holds none."""
    blocks = chain(path)
    if not blocks:
        raise Refused("no_certificate", str(path))
    leaf = blocks[0]
    said = run(
        *("openssl", "x509", "-noout", "-issuer", "-subject", "-dates", "-ext", "subjectAltName", "-pubkey"),
        *("-nameopt", "RFC2253"),
        stdin=leaf,
    )
    public = re.search(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", said, re.DOTALL)
    fields = dict(re.findall(r"^(issuer|subject|notBefore|notAfter)=(.*)$", said, re.MULTILINE))
    if public is None or len(fields) != 4:
        raise Refused("no_certificate", f"{path} cannot be read")
    return Certificate(
        names=tuple(re.findall(r"DNS:([^,\s]+)", said)),
        issuer=fields["issuer"],
        not_before=_time(fields["notBefore"]),
        not_after=_time(fields["notAfter"]),
        self_signed=fields["issuer"] == fields["subject"],
        spki_sha256=hashlib.sha256(_der(public[0])).hexdigest(),
        certificate_sha256=hashlib.sha256(_der(leaf.decode())).hexdigest(),
    )


def chain_verifies(path: pathlib.Path, leaf: Certificate | None = None) -> bool:
    """Whether the file's chain ends in a root that this machine trusts now."""
    described = leaf or describe(path)
    if described.self_signed:
        return False
    blocks = chain(path)
    with tempfile.NamedTemporaryFile(suffix=".pem") as rest:
        rest.write(b"".join(blocks[1:]) or blocks[0])
        rest.flush()
        done = subprocess.run(
            ["openssl", "verify", "-CAfile", TRUST, "-untrusted", rest.name],
            input=blocks[0],
            capture_output=True,
            check=False,
            timeout=20,
        )
    return done.returncode == 0
