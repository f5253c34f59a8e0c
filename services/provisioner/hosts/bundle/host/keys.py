"""Private keys: born here, readable by their one user, never sent anywhere."""

import base64
import concurrent.futures
import hashlib
import os
import pathlib
from typing import Any

from . import files
from .bootstrap import run

TLS = pathlib.Path("/etc/sendchief/tls")
DKIM = pathlib.Path("/var/lib/sendchief/dkim")
HOST_PEM = TLS / "host.pem"


def spki(key: pathlib.Path) -> bytes:
    """SubjectPublicKeyInfo in DER of a private key file."""
    pem = run("openssl", "pkey", "-in", str(key), "-pubout")
    return base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-----")))


def spki_sha256(key: pathlib.Path) -> str:
    return hashlib.sha256(spki(key)).hexdigest()


def ensure_tls_key(path: pathlib.Path) -> None:
    """An ECDSA P-256 key, unless it is there."""
    if not path.exists():
        pem = run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        files.write(path, pem.encode(), mode=0o600)


def ensure_host_tls(hostname: str) -> None:
    """Current and next key, and something to serve until a certificate comes."""
    files.directory(str(TLS), mode=0o700)
    for name in ("cur.key", "nxt.key"):
        ensure_tls_key(TLS / name)
    if not HOST_PEM.exists():
        key = TLS / "cur.key"
        certificate = run(
            *("openssl", "req", "-x509", "-new", "-key", str(key), "-days", "30", "-subj", f"/CN={hostname}"),
            *("-addext", f"subjectAltName=DNS:{hostname}"),
        )
        files.write(HOST_PEM, key.read_bytes() + certificate.encode(), mode=0o600)


def _ensure_dkim_key(domain: str, selector: str, algorithm: str) -> None:
    path = DKIM / domain / f"{selector}.key"
    if path.exists():
        return
    if algorithm == "rsa":
        pem = run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    else:
        pem = run("openssl", "genpkey", "-algorithm", "ED25519")
    public = path.with_suffix(".pub")
    files.directory(str(path.parent), group="_rspamd", mode=0o750)
    files.write(path, pem.encode(), group="_rspamd", mode=0o640)
    # RFC 6376: p= is the SubjectPublicKeyInfo; RFC 8463: p= is the bare 32 bytes, its last ones.
    der = spki(path)
    encoded = base64.b64encode(der if algorithm == "rsa" else der[-32:])
    files.write(public, encoded + b"\n")
    if algorithm == "ed25519":
        _for_rspamd(path)


def _for_rspamd(path: pathlib.Path) -> None:
    """rspamd reads an Ed25519 key as base64 of its bare 32-byte seed, not as PEM."""
    der = run("openssl", "pkey", "-in", str(path), "-outform", "PEM")
    seed = base64.b64decode("".join(line for line in der.splitlines() if not line.startswith("-----")))[-32:]
    files.write(path, base64.b64encode(seed), group="_rspamd", mode=0o640)


def wanted_dkim(desired: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(domain, selector, algorithm) of every key that desired state names."""
    domains = [(desired["hostname"], desired["host_dkim"])]
    domains += [(domain["name"], domain["dkim_selectors"]) for domain in desired["domains"]]
    return [(name, chosen[kind], kind) for name, chosen in domains for kind in ("rsa", "ed25519")]


def ensure_all(desired: dict[str, Any]) -> None:
    """Every key that is wanted and missing. RSA generation takes up to a second: all at once."""
    files.directory(str(DKIM), group="_rspamd", mode=0o750)
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        jobs = [pool.submit(ensure_host_tls, desired["hostname"])]
        jobs += [pool.submit(_ensure_dkim_key, *key) for key in wanted_dkim(desired)]
        for job in jobs:
            job.result()


def dkim_facts(desired: dict[str, Any]) -> list[dict[str, str]]:
    found = []
    for domain, selector, algorithm in wanted_dkim(desired):
        public = (DKIM / domain / f"{selector}.pub").read_text().strip()
        found.append(
            {"domain": domain, "selector": selector, "algorithm": algorithm, "public_key_b64": public}
        )
    return found
