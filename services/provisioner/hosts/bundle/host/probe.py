"""What only the host can say about itself: services, firewall, updates, who may reach port 25."""

import concurrent.futures
import os
import pwd
import re
import socket
from typing import Any, BinaryIO

from .bootstrap import Answer, Refused, run

SERVICES = (
    "dovecot",
    "nftables",
    "nginx",
    "php8.4-fpm",
    "postfix",
    "redis-server",
    "rspamd",
    "sc-ssod",
    "ssh",
    "unbound",
)
TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer", "sendchief-certificates.timer")

Check = dict[str, Any]


def _check(check_id: str, ok: bool, evidence: str) -> Check:
    return {"id": check_id, "ok": ok, "evidence": evidence.strip()[:2000]}


def services() -> Check:
    states = run("systemctl", "is-active", *SERVICES, check=False).split()
    bad = [f"{name}: {state}" for name, state in zip(SERVICES, states, strict=True) if state != "active"]
    return _check("services", not bad, "; ".join(bad) or f"{len(SERVICES)} services active")


def system() -> Check:
    state = run("systemctl", "is-system-running", check=False).strip()
    failed = run("systemctl", "list-units", "--failed", "--plain", "--no-legend", check=False).strip()
    return _check("system", state == "running", f"{state} {failed}")


def firewall() -> Check:
    """The ruleset that the kernel holds, not the file."""
    rules = run("nft", "list", "table", "inet", "sendchief", check=False)
    drops = re.search(r"hook input priority filter; policy drop;", rules)
    ssh = re.search(r"tcp dport 22 ip6? saddr @control_plane[46]", rules)
    everywhere = re.search(
        r"^\s*tcp dport \{ 25, 80, 443, 465, 587, 993 \} ct state new accept$", rules, re.MULTILINE
    )
    accepts = [line.strip() for line in rules.splitlines() if line.strip().endswith("accept")]
    loose = [line for line in accepts if line == "accept" or line == "tcp dport 22 accept"]
    ok = bool(drops and ssh and everywhere) and not loose
    return _check("firewall", ok, "; ".join([drops[0] if drops else "input does not drop", *accepts]))


def egress_rule() -> Check:
    rules = run("nft", "list", "chain", "inet", "sendchief", "output", check=False)
    line = next(
        (line.strip() for line in rules.splitlines() if "dport 25" in line and "skuid !=" in line), ""
    )
    return _check("egress_rule", line.endswith("reject with tcp reset"), line or "no rule for port 25")


def updates() -> Check:
    said = run("apt-config", "dump", "--no-empty", "APT::Periodic", check=False)
    on = all(f'APT::Periodic::{name} "1";' in said for name in ("Update-Package-Lists", "Unattended-Upgrade"))
    timers = run("systemctl", "is-active", *TIMERS, check=False).split()
    program = os.path.exists("/usr/bin/unattended-upgrade")
    evidence = f"{' '.join(said.split())} timers={','.join(timers)}"
    return _check("updates", on and program and timers == ["active"] * len(TIMERS), evidence)


def resolver() -> Check:
    servers = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")]  # noqa: SIM115
    return _check("resolver", servers == ["127.0.0.1"], f"nameserver {', '.join(servers)}")


def _connect_as(user: str, address: str, port: int) -> str:
    """ "connected" or the error, from a child process of that user."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        word = "failed"
        try:
            account = pwd.getpwnam(user)
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            with socket.create_connection((address, port), timeout=8) as peer:
                banner = peer.recv(200).decode(errors="replace").strip()
                word = f"connected: {banner}"
        except OSError as error:
            word = f"refused: {error}"
        finally:
            os.write(write, word.encode()[:400])
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def egress(address: str, port: int) -> list[Check]:
    """A real connection by Postfix's user, and the proof that another user gets none."""
    mail = _connect_as("postfix", address, port)
    other = _connect_as("www-data", address, port)
    return [
        _check(
            "egress_25_postfix", mail.startswith("connected: 220"), f"postfix -> {address}:{port}: {mail}"
        ),
        _check("egress_25_others", other.startswith("refused"), f"www-data -> {address}:{port}: {other}"),
    ]


def probe_request(request: Answer, _payload: BinaryIO) -> Answer:
    checks: list[Check] = []
    target = request.get("connect_to")
    if target is not None:
        if not isinstance(target, list) or len(target) != 2:
            raise Refused("bad_request", "connect_to is [address, port]")
        checks += egress(str(target[0]), int(target[1]))
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        checks += pool.map(lambda one: one(), (services, system, firewall, egress_rule, updates, resolver))
    return {"probe": {"ok": all(check["ok"] for check in checks), "checks": checks}}
