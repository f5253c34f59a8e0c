"""Certificates: which are needed, which are good, and getting the others by ACME (RFC 8555, HTTP-01).

The keys are ours and stay: only a CSR goes out. A certificate is bad when it is self-signed, near its end, for
other names, or does not chain to this machine's trust store any more.
"""

import datetime
import hashlib
import json
import pathlib
import subprocess
from typing import Any, BinaryIO

from . import dns, files, keys, tls
from .bootstrap import STATE, Answer, Refused, locked, run

ACME = STATE / "acme"
FAILURES = ACME / "failures.json"
WEBROOT = ACME / "www"
RETRY_SECONDS = (15, 60, 300, 900, 3600)
HOOK = "/opt/sendchief/current/sendchief_host/acme_hook.sh"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def wanted(kept: dict[str, Any]) -> dict[str, list[str]]:
    """Certificate name -> names in it; the host's own first."""
    return {kept["desired"]["hostname"]: [kept["desired"]["hostname"]], **kept["web_names"]}


def _paths(kept: dict[str, Any], name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """(key, PEM file served) of a certificate."""
    if name == kept["desired"]["hostname"]:
        return keys.TLS / "cur.key", keys.HOST_PEM
    return keys.TLS / f"{name}.key", keys.TLS / f"{name}.pem"


def _failures() -> dict[str, Any]:
    try:
        return dict(json.loads(FAILURES.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _note(name: str, error: str | None) -> None:
    noted = _failures()
    if error is None:
        noted.pop(name, None)
    else:
        count = noted.get(name, {}).get("count", 0) + 1
        wait = RETRY_SECONDS[min(count, len(RETRY_SECONDS)) - 1]
        retry_at = (_now() + datetime.timedelta(seconds=wait)).isoformat()
        noted[name] = {"count": count, "error": error[-1000:], "retry_at": retry_at}
    files.write(FAILURES, json.dumps(noted).encode(), mode=0o600)


def needs_work(pem: pathlib.Path, key: pathlib.Path, names: list[str]) -> str:
    """Why this certificate has to be issued again; empty when it is good."""
    if not pem.exists():
        return "missing"
    leaf = tls.describe(pem)
    lifetime = leaf.not_after - leaf.not_before
    if leaf.self_signed:
        return "self-signed"
    if set(leaf.names) != set(names):
        return "other names"
    if leaf.spki_sha256 != keys.spki_sha256(key):
        return "other key"
    if leaf.not_after - _now() < lifetime / 3:
        return "near its end"
    return "" if tls.chain_verifies(pem, leaf) else "does not chain to the trust store"


def _not_ours(kept: dict[str, Any], names: list[str]) -> list[str]:
    """Names that do not lead to this host yet: asking for them would only burn the CA's limits."""
    own = {kept["desired"]["ipv4"], kept["desired"]["ipv6"]}
    strangers = []
    for name in names:
        found = dns.addresses(name)
        if not found or not found <= own:
            strangers.append(name)
    return strangers


def state_of(kept: dict[str, Any], name: str, names: list[str]) -> dict[str, Any]:
    key, pem = _paths(kept, name)
    failure = _failures().get(name)
    state: dict[str, Any] = {"name": name, "names": names, "state": "missing"}
    if pem.exists():
        leaf = tls.describe(pem)
        state |= {
            "issuer": leaf.issuer,
            "not_after": leaf.not_after.isoformat(),
            "spki_sha256": leaf.spki_sha256,
        }
        why = needs_work(pem, key, names)
        state["state"] = "self_signed" if leaf.self_signed else "valid" if not why else "failed"
        state["error"] = "" if state["state"] != "failed" else why
    if failure and state["state"] != "valid":
        state |= {"state": "failed", "error": failure["error"], "retry_at": failure["retry_at"]}
    return state


def states(kept: dict[str, Any]) -> list[dict[str, Any]]:
    return [state_of(kept, name, names) for name, names in wanted(kept).items()]


def _uacme(account: pathlib.Path, directory_url: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["uacme", "-v", "-y", "-i", "-o", "-a", directory_url, "-c", str(account), "-h", HOOK, *argv],
        capture_output=True,
        timeout=120,
        check=False,
    )


def _issue(directory_url: str, contact: str, csr: pathlib.Path) -> subprocess.CompletedProcess[bytes]:
    """Orders; registers first where this CA has no account of ours, or has forgotten it."""
    # One account per CA: its key means nothing to another one.
    account = ACME / hashlib.sha256(directory_url.encode()).hexdigest()[:12]
    account.mkdir(mode=0o700, exist_ok=True)
    if not (account / "private" / "key.pem").exists():
        _uacme(account, directory_url, "new", contact)
    done = _uacme(account, directory_url, "-f", "issue", str(csr))
    if done.returncode != 0 and b"account" in done.stderr.lower():
        # Registering with a key that the CA knows answers with the account that exists (RFC 8555 section 7.3.1).
        _uacme(account, directory_url, "new", contact)
        done = _uacme(account, directory_url, "-f", "issue", str(csr))
    return done


def _order(kept: dict[str, Any], name: str, names: list[str]) -> None:
    """One ACME order; on success the new chain is served after one rename."""
    desired = kept["desired"]
    key, pem = _paths(kept, name)
    keys.ensure_tls_key(key)
    work = ACME / "orders"
    work.mkdir(mode=0o700, exist_ok=True)
    csr = work / f"{name}.csr"
    alternative = ",".join(f"DNS:{entry}" for entry in names)
    request = run(
        "openssl", "req", "-new", "-key", str(key), "-subj", "/", "-addext", f"subjectAltName={alternative}"
    )
    csr.write_text(request)
    issued = work / f"{name}-cert.pem"
    issued.unlink(missing_ok=True)
    done = _issue(desired["acme_directory"], desired["acme_contact"], csr)
    if done.returncode != 0 or not issued.exists():
        raise Refused("acme_failed", (done.stderr or done.stdout).decode(errors="replace").strip()[-1000:])
    leaf = tls.describe(issued)
    if leaf.spki_sha256 != keys.spki_sha256(key):
        raise Refused("acme_failed", "the certificate is for another key")
    files.write(pem, key.read_bytes() + issued.read_bytes(), mode=0o600)


def renew(kept: dict[str, Any], *, retry_now: bool = False) -> tuple[list[dict[str, Any]], list[str]]:
    """Issues what needs it; returns the state of all and the names that were issued."""
    from .apply import EFFECTS, publish_sites

    files.directory(str(WEBROOT / ".well-known/acme-challenge"), mode=0o755)
    issued: list[str] = []
    waiting: dict[str, list[str]] = {}
    failures = _failures()
    for name, names in wanted(kept).items():
        key, pem = _paths(kept, name)
        if not needs_work(pem, key, names):
            continue
        failure = failures.get(name)
        if failure and not retry_now and datetime.datetime.fromisoformat(failure["retry_at"]) > _now():
            continue
        strangers = _not_ours(kept, names)
        if strangers:
            waiting[name] = strangers
            continue
        try:
            _order(kept, name, names)
        except Refused as error:
            _note(name, error.detail)
        else:
            _note(name, None)
            issued.append(name)
    hostname = kept["desired"]["hostname"]
    if hostname in issued:
        # smtpd processes live for hours and hold the old key, and a connection to the Dovecot that checks passwords:
        # reload ends them when they are idle.
        run("systemctl", "reload", "dovecot")
        run("systemctl", "reload", "postfix")
    if issued:
        publish_sites([name for name in wanted(kept) if name != hostname])
        EFFECTS["nginx"]()
    found = states(kept)
    for state in found:
        if state["name"] in waiting:
            state |= {
                "state": "waiting_dns",
                "error": f"not ours in DNS yet: {', '.join(waiting[state['name']])}",
            }
    return found, issued


def certificates_request(request: Answer, _payload: BinaryIO) -> Answer:
    from .apply import held

    with locked("certificates", wait_seconds=150):
        found, issued = renew(held(), retry_now=bool(request.get("retry_now")))
    return {"certificates": found, "issued": issued}
