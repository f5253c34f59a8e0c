"""Makes the host what the desired state says, and proves that the sign-in service sees it."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from . import facts, files, keys
from .bootstrap import PROGRAMS, STATE, Answer, Refused, locked, run

HELD = STATE / "held.json"
DIRTY = STATE / "dirty"
"""There while files may be newer than what the services have read."""
WEBMAIL_KEY = pathlib.Path("/etc/sendchief/sso/key.json")
SELFTEST = pathlib.Path("/run/sc-selftest")
SELFTEST_LONGEST = 1800
MAPS = (
    "domains", "mailboxes", "senders", "aliases", "paused_senders", "paused_recipients", "paused_transports",
    "elsewhere_recipients", "elsewhere_transports",
)  # fmt: skip
ENDED = "/etc/sendchief/webmail-ended/"
_SITES = pathlib.Path("/etc/nginx/sendchief")


def held() -> dict[str, Any]:
    """What was applied last: desired state and its companions, without file contents."""
    try:
        found = json.loads(HELD.read_text())
    except FileNotFoundError:
        raise Refused("not_installed", "nothing has been applied on this host yet") from None
    return dict(found)


def elsewhere(desired: dict[str, Any]) -> dict[str, str]:
    """Domains on their way to or from this host, and the server that serves each of them now."""
    return {one["name"]: one["served_by"] for one in desired["domains"] if one.get("served_by")}


def _reload_nginx() -> None:
    run("nginx", "-t", "-q")
    run("systemctl", "reload-or-restart", "nginx")


def _reload_ssh() -> None:
    run("sshd", "-t")
    run("systemctl", "reload", "ssh")


def _restart_sso() -> None:
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "sc-ssod")


def _restart_dovecot() -> None:
    """Not reloaded: sessions would go on under the old rules, and what follows could still meet the old processes.
    Wishes may follow one another within seconds; systemd would take that for a service that keeps failing."""
    run("systemctl", "reset-failed", "dovecot", check=False)
    run("systemctl", "restart", "dovecot")


EFFECTS: dict[str, Callable[[], object]] = {
    "nftables": lambda: run("nft", "-f", "/etc/nftables.conf"),
    "postmap": lambda: None,
    "postfix": lambda: run("systemctl", "restart", "postfix"),
    "dovecot": _restart_dovecot,
    # Not reloaded: for a while its old worker would go on serving, and mail of a new domain leave unsigned.
    "rspamd": lambda: run("systemctl", "restart", "rspamd"),
    "nginx": _reload_nginx,
    "php": lambda: run("systemctl", "reload-or-restart", "php8.4-fpm"),
    "redis": lambda: run("systemctl", "restart", "redis-server"),
    "unbound": lambda: run("systemctl", "restart", "unbound"),
    "ssh": _reload_ssh,
    "sysctl": lambda: run("/usr/lib/systemd/systemd-sysctl", check=False),
    "journald": lambda: run("systemctl", "restart", "systemd-journald"),
    "tmpfiles": lambda: run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/sendchief.conf"),
    "units": lambda: run("systemctl", "daemon-reload"),
    "sso": _restart_sso,
}


def build_maps() -> None:
    """Postfix reads the compiled tables; each is replaced in one transaction of its own."""
    folder = pathlib.Path("/etc/sendchief/postfix")
    stale = []
    for source in (folder / name for name in MAPS):
        table = source.with_name(source.name + ".lmdb")
        if not table.exists() or table.stat().st_mtime_ns < source.stat().st_mtime_ns:
            stale.append(f"lmdb:{source}")
    if stale:
        run("postmap", *stale)


def publish_sites(domains: list[str]) -> bool:
    """A domain's web names are served as soon as their certificate exists. Returns whether anything changed."""
    wanted = {f"10-{name}.conf": name for name in domains if (keys.TLS / f"{name}.pem").exists()}
    changed = False
    for link in _SITES.glob("10-*.conf"):
        if link.name not in wanted:
            link.unlink()
            changed = True
    for link_name, name in wanted.items():
        if not (_SITES / link_name).is_symlink():
            (_SITES / link_name).symlink_to(f"/etc/sendchief/vhosts/{name}.conf")
            changed = True
    return changed


def settle(effects: set[str]) -> None:
    """Has everything reread that changed: the firewall first, Postfix last, the rest side by side."""
    if "nftables" in effects:
        EFFECTS["nftables"]()
    if "units" in effects:
        EFFECTS["units"]()
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        for job in [
            pool.submit(EFFECTS[name]) for name in sorted(effects - {"nftables", "units", "postfix"})
        ]:
            job.result()
    # Its processes keep a connection to the Dovecot that checks passwords; without it the right one is refused.
    if "postfix" in effects:
        EFFECTS["postfix"]()
    elif "dovecot" in effects:
        run("systemctl", "reload", "postfix")
    if "rspamd" in effects:
        facts.wait_for_port(11332)
    DIRTY.unlink(missing_ok=True)


def write_state(payload: dict[str, Any], *, durable: bool = True) -> set[str]:
    """Keys, files and tables of the payload; returns what has to be reread: all, if the last time broke off."""
    desired = payload["desired"]
    broke_off = DIRTY.exists()
    DIRTY.touch()
    keys.ensure_all(desired)
    effects, changed = files.write_all(payload["files"], durable=durable)
    build_maps()
    if publish_sites([domain["name"] for domain in desired["domains"]]):
        effects.add("nginx")
    gone = files.prune(payload["managed_directories"], {entry["path"] for entry in payload["files"]})
    for path in gone:
        if path.startswith("/etc/sendchief/auth/"):
            pathlib.Path("/run/sc-sso/u", os.path.basename(path)).unlink(missing_ok=True)
    facts.forget_password_uses(desired)
    listed = [entry["path"] for entry in payload["files"]] if broke_off else changed
    disconnect(path for path in (*listed, *gone) if path.startswith(ENDED))
    return set(EFFECTS) if broke_off else effects


def disconnect(paths: Iterable[str]) -> None:
    """Ends the connections of mailboxes whose webmail was ended: at their next one they are asked who they are."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if not pathlib.Path(path).stat().st_size:
                continue
        # It fails when nobody is connected.
        run("doveadm", "kick", os.path.basename(path), check=False)


def remember(payload: dict[str, Any]) -> None:
    kept = {key: payload[key] for key in ("bundle_version", "desired", "selftest_address", "web_names")}
    for box in kept["desired"]["mailboxes"]:
        given = [verifier["version"] for verifier in box.pop("verifiers")]
        box["versions"] = [] if box["address"].rpartition("@")[2] in elsewhere(kept["desired"]) else given
    files.write(HELD, json.dumps(kept).encode(), mode=0o600)


def _guard(payload: dict[str, Any]) -> None:
    before = held()
    if payload["bundle_version"] != before["bundle_version"]:
        raise Refused("bundle_mismatch", f"the host runs {before['bundle_version']}: install first")
    if payload["desired"]["hostname"] != before["desired"]["hostname"]:
        raise Refused("bad_request", "a host keeps its name")
    if payload["desired"]["generation"] < before["desired"]["generation"]:
        raise Refused("stale_generation", f"the host holds generation {before['desired']['generation']}")


def apply_request(request: Answer, _payload: BinaryIO) -> Answer:
    """The whole desired state. An older generation than the held one is refused; the same one may come again."""
    # Who is opened here by this must not be copied over by somebody who has not heard of it (mailstore.py).
    with locked("state"), locked("mail-copy"):
        _guard(request)
        effects = write_state(request)
        settle(effects)
        remember(request)
        return {"facts": facts.collect(held())}


def webmail_key(request: Answer, _payload: BinaryIO) -> Answer:
    """Stores the key that checks sign-in tokens, for the broker alone to read."""
    key, version = str(request["key"]), int(request["version"])
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", key):
        raise Refused("bad_request", "the key is 32 bytes in base64url without padding")
    with locked("state"):
        files.directory(str(WEBMAIL_KEY.parent), group="sc-sso", mode=0o750)
        content = json.dumps({"version": version, "key": key}).encode()
        if files.write(WEBMAIL_KEY, content, group="sc-sso", mode=0o640):
            run("systemctl", "restart", "sc-ssod")
    return {"version": version}


def selftest_password(request: Answer, _payload: BinaryIO) -> Answer:
    """A password of the self-test mailbox for at most half an hour; without one it is forgotten."""
    address = held()["selftest_address"]
    path = SELFTEST / address
    verifier = request.get("verifier")
    if verifier is None:
        path.unlink(missing_ok=True)
        return {"address": address}
    expires = int(request["expires_at"])
    if not re.fullmatch(r"\{SSHA512\}[A-Za-z0-9+/=]{40,200}", str(verifier)):
        raise Refused("bad_request", "an SSHA512 verifier is expected")
    if not time.time() < expires <= time.time() + SELFTEST_LONGEST:
        raise Refused("bad_request", f"expires_at lies at most {SELFTEST_LONGEST} seconds ahead")
    files.write(path, f"{expires} {verifier}\n".encode(), group="dovecot", mode=0o640)
    return {"address": address}


def forget_old_programs(keep: pathlib.Path) -> None:
    """Only the program in use and the one before it stay."""
    others = sorted(
        (p for p in PROGRAMS.iterdir() if p.is_dir() and not p.is_symlink() and p != keep),
        key=os.path.getmtime,
    )
    for old in others[:-1]:
        with contextlib.suppress(Refused):
            run("rm", "-rf", "--one-file-system", str(old))
