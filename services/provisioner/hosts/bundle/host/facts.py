"""What the host is now, read from the things themselves rather than from what was written."""

import contextlib
import datetime
import json
import pathlib
import re
import socket
import time
from collections.abc import Iterable
from typing import Any, BinaryIO

from . import keys, tls
from .bootstrap import HOST_KEY, Answer, Refused, public_key, run

PASSWORD_USE = pathlib.Path("/var/lib/sendchief/password-use")
"""Files `<address>:<version>`, written by the sign-in service: when that password last signed in, to the minute."""


def wait_for_port(port: int, address: str = "127.0.0.1", seconds: float = 45) -> None:
    """Returns when something accepts connections; Refused("not_listening") when nothing does in time."""
    ends = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((address, port), timeout=1):
                return
        except OSError:
            if time.monotonic() > ends:
                raise Refused("not_listening", f"nothing listens on {address}:{port}") from None
            time.sleep(0.03)


def listeners() -> list[dict[str, Any]]:
    """Listening TCP sockets, by `ss`."""
    found = []
    for line in run("ss", "-Hltnp").splitlines():
        columns = line.split()
        address, _, port = columns[3].rpartition(":")
        process = re.search(r'\(\("([^"]+)"', line)
        address = re.sub(r"%.*", "", address.strip("[]"))
        found.append({"address": address, "port": int(port), "process": process[1] if process else ""})
    return sorted(found, key=lambda entry: (entry["port"], entry["address"]))


def mailbox_versions(address: str) -> list[int] | None:
    """Verifier versions that Dovecot itself reports for a mailbox; None when it does not know the mailbox."""
    said = run("doveadm", "-f", "json", "user", address, check=False, timeout=20)
    try:
        answer = json.loads(said)
    except ValueError:
        return None
    fields = {entry.get("field"): entry.get("value") for entry in answer}
    versions = fields.get("sc_versions")
    if versions is None:
        return None
    return [int(number) for number in versions.removeprefix("v").split("-") if number]


def password_uses(address: str, versions: Iterable[int]) -> list[dict[str, Any]]:
    """Of the passwords that open the mailbox now; one that was never used is not in it."""
    found = []
    for version in versions:
        with contextlib.suppress(FileNotFoundError, ValueError, OverflowError):
            minute = int((PASSWORD_USE / f"{address}:{version}").read_text())
            at = datetime.datetime.fromtimestamp(minute, datetime.UTC)
            found.append({"version": version, "at": at.isoformat()})
    return found


def forget_password_uses(desired: dict[str, Any]) -> None:
    """Removes what is known of passwords that open nothing any more."""
    kept = {f"{box['address']}:{one['version']}" for box in desired["mailboxes"] for one in box["verifiers"]}
    for path in PASSWORD_USE.iterdir():
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _mailboxes(desired: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for box in desired["mailboxes"]:
        seen = mailbox_versions(box["address"])
        found.append(
            {
                "mailbox_id": box["mailbox_id"],
                "address": box["address"],
                "version": max(seen or [0]),
                "verified": seen is not None and sorted(seen) == sorted(box["versions"]),
                "used": password_uses(box["address"], box["versions"]),
            }
        )
    return found


def _packages() -> dict[str, str]:
    names = pathlib.Path("/opt/sendchief/current/packages.txt").read_text().split()
    said = run("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *names, check=False)
    rows = (line.split() for line in said.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2] == "installed"}


def _webmail_key_version() -> int | None:
    try:
        return int(json.loads(pathlib.Path("/etc/sendchief/sso/key.json").read_text())["version"])
    except FileNotFoundError:
        return None


def tls_facts() -> dict[str, Any]:
    """Keys and serving certificate of the host name."""
    served = tls.describe(keys.HOST_PEM)
    return {
        "current_spki_sha256": keys.spki_sha256(keys.TLS / "cur.key"),
        "next_spki_sha256": keys.spki_sha256(keys.TLS / "nxt.key"),
        "serving_spki_sha256": served.spki_sha256,
        "certificate_sha256": served.certificate_sha256,
        "issuer": served.issuer,
        "not_after": served.not_after.isoformat(),
        "self_signed": served.self_signed,
        "chain_verifies": tls.chain_verifies(keys.HOST_PEM, served),
    }


def collect(kept: dict[str, Any]) -> Answer:
    from . import certificates  # certificates itself needs facts

    desired = kept["desired"]
    return {
        "server_id": desired["server_id"],
        "hostname": desired["hostname"],
        "generation": desired["generation"],
        "bundle_version": kept["bundle_version"],
        "tls": tls_facts(),
        "certificates": certificates.states(kept),
        "dkim": keys.dkim_facts(desired),
        "mailboxes": _mailboxes(desired),
        "webmail_key_version": _webmail_key_version(),
        "listeners": listeners(),
        "packages": _packages(),
        "ssh_host_key": public_key(HOST_KEY),
        "debian_version": pathlib.Path("/etc/debian_version").read_text().strip(),
        "kernel": run("uname", "-r").strip(),
    }


def facts_request(_request: Answer, _payload: BinaryIO) -> Answer:
    from .apply import held

    return {"facts": collect(held())}
