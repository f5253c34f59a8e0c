"""One install run: idempotent, logged step by step, its result in a file. Runs as a systemd unit of its own."""

import datetime
import json
import os
import pathlib
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from . import apply, facts, files, keys
from .bootstrap import PROGRAMS, STATE, Refused, locked, run

LAUNCHER = """#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/opt/sendchief/current")
from sendchief_host.main import main

sys.exit(main())
"""

SYSUSERS = """\
g vmail 5000
u vmail 5000:5000 "Mail store" /var/vmail
u sc-webmail - "Webmail" /var/lib/sendchief/webmail
u sc-sso - "Webmail sign-in broker" /var/lib/sc-sso
"""

PRESEED = """\
postfix postfix/main_mailer_type select No configuration
roundcube-core roundcube/dbconfig-install boolean false
roundcube-core roundcube/database-type select sqlite3
roundcube-core roundcube/reconfigure-webserver multiselect
"""

SERVICES = (
    "redis-server",
    "unbound",
    "rspamd",
    "dovecot",
    "postfix",
    "php8.4-fpm",
    "nginx",
    "sc-ssod",
    "nftables",
)

POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


class Run:
    """The log of one run: a line per step in steps.jsonl, then result.json."""

    def __init__(self, run_id: str) -> None:
        self._directory = STATE / "runs" / run_id

    def step(self, name: str, work: Callable[[], str | None]) -> None:
        """Runs one step and notes it; a Refused ends the run."""
        started, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
        ok, message = False, ""
        try:
            message = work() or ""
            ok = True
        except Refused as error:
            message = error.detail
            raise
        finally:
            entry = {
                "name": name,
                "started_at": started.isoformat(),
                "seconds": round(time.monotonic() - clock, 3),
                "ok": ok,
                "message": message[-1000:],
            }
            with open(self._directory / "steps.jsonl", "a") as log:
                log.write(json.dumps(entry) + "\n")

    def finish(self, state: str, error: str = "") -> None:
        content = json.dumps({"state": state, "error": error}).encode()
        files.write(self._directory / "result.json", content, mode=0o600)


def missing_packages(names: list[str]) -> list[str]:
    said = run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names, check=False)
    present = {line.split()[0] for line in said.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in present]


def _apt(*names: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    os.environ.update(environment)
    options = ("-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")
    confold = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
    run("apt-get", "install", *options, *confold, *names, timeout=1800)


def packages(root: pathlib.Path, payload: dict[str, Any]) -> str:
    """Nothing at all when all are there. Else the firewall comes first, and no daemon starts with its defaults."""
    names = (root / "packages.txt").read_text().split()
    missing = missing_packages(names)
    if not missing:
        return "all present"
    run("apt-get", "update", "-q", "-o", "DPkg::Lock::Timeout=300", timeout=600)
    if "nftables" in missing:
        _apt("nftables")
    run("debconf-set-selections", stdin=PRESEED.encode())
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        _apt(*missing)
    finally:
        POLICY.unlink(missing_ok=True)
    return f"installed {len(missing)}: {' '.join(missing)}"[:900]


def accounts() -> None:
    run("systemd-sysusers", "-", stdin=SYSUSERS.encode())
    # sshd without PAM refuses a locked account; "*" is no password either.
    run("usermod", "-p", "*", "scadmin")


def directories() -> None:
    files.directory("/etc/sendchief", mode=0o755)
    files.directory("/etc/sendchief/auth", group="dovecot", mode=0o750)
    files.directory("/etc/sendchief/webmail-ended", mode=0o755)
    files.directory("/etc/sendchief/vhosts", mode=0o755)
    files.directory("/etc/sendchief/postfix", mode=0o755)
    files.directory("/etc/sendchief/sso", group="sc-sso", mode=0o750)
    files.directory("/etc/sendchief/webmail", group="sc-webmail", mode=0o750)
    files.directory("/etc/nginx/sendchief", mode=0o755)
    files.directory("/var/vmail", owner="vmail", group="vmail", mode=0o700)
    files.directory("/var/lib/sendchief/web", mode=0o755)
    files.directory(str(facts.PASSWORD_USE), owner="dovecot", group="dovecot", mode=0o700)
    files.directory("/var/lib/sendchief/acme", mode=0o755)
    files.directory("/var/lib/sendchief/acme/www/.well-known/acme-challenge", mode=0o755)
    files.directory("/var/lib/sendchief/webmail", owner="sc-webmail", group="sc-webmail", mode=0o750)
    files.directory("/var/lib/sendchief/webmail/temp", owner="sc-webmail", group="sc-webmail", mode=0o700)
    run("usermod", "-a", "-G", "redis", "_rspamd")
    # Debian's own site and pool would listen beside ours.
    for default in ("/etc/php/8.4/fpm/pool.d/www.conf", "/etc/nginx/sites-enabled/default"):
        pathlib.Path(default).unlink(missing_ok=True)


def webmail() -> None:
    """Roundcube's database and the key that seals its session cookies; both made once, on the host."""
    key = pathlib.Path("/etc/sendchief/webmail/des.key")
    if not key.exists():
        # 32 characters: Roundcube takes them as they are for AES-256.
        files.write(key, os.urandom(16).hex().encode(), group="sc-webmail", mode=0o640)
    database = pathlib.Path("/var/lib/sendchief/webmail/roundcube.db")
    if not database.exists():
        import sqlite3

        making = database.with_suffix(".making")
        making.unlink(missing_ok=True)
        with sqlite3.connect(making) as connection:
            connection.executescript(pathlib.Path("/usr/share/roundcube/SQL/sqlite.initial.sql").read_text())
        connection.close()
        shutil.chown(making, "sc-webmail", "sc-webmail")
        making.chmod(0o600)
        making.rename(database)


def hostname(payload: dict[str, Any]) -> None:
    name = payload["desired"]["hostname"]
    files.write(pathlib.Path("/etc/hostname"), f"{name}\n".encode())
    files.write(pathlib.Path("/etc/mailname"), f"{name}\n".encode())
    hosts = f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {name} {name.split('.')[0]}\n"
    files.write(pathlib.Path("/etc/hosts"), hosts.encode())
    run("hostname", name)


def enable(*units: str) -> list[str]:
    """Those that are not yet: for a unit with an old init script each costs a reload of systemd. Returns them."""
    states = run("systemctl", "is-enabled", *units, check=False).split()
    missing = [unit for unit, state in zip(units, states, strict=True) if state != "enabled"]
    if missing:
        run("systemctl", "enable", "--quiet", *missing)
    return missing


def services(effects: set[str]) -> str:
    """The first time all at once, by one job queue: systemd starts them side by side. Later only what changed."""
    timers = ("sendchief-certificates.timer", "apt-daily.timer", "apt-daily-upgrade.timer")
    # The second timer is for later starts only: started now, it would fire at once and hold up the first order.
    enabled = enable(*SERVICES, *timers, "sendchief-certificates-boot.timer")
    if apply.HELD.exists():
        apply.settle(effects)
        run("systemctl", "start", *SERVICES, *timers)
        return ", ".join(sorted(effects)) or "nothing changed"
    run("systemctl", "daemon-reload")
    run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/sendchief.conf")
    run("/usr/lib/systemd/systemd-sysctl", check=False)
    run("nginx", "-t", "-q")
    run("sshd", "-t")
    # Makes the queue's directories, in which Dovecot is about to put its sockets.
    run("postfix", "check")
    run("systemctl", "restart", "systemd-journald")
    run("systemctl", "restart", *SERVICES)
    run("systemctl", "start", *timers)
    run("systemctl", "reload", "ssh")
    apply.DIRTY.unlink(missing_ok=True)
    return f"all; enabled {', '.join(enabled) or 'none'}"


def health() -> None:
    for port in (25, 80, 443, 465, 587, 993, 4190):
        facts.wait_for_port(port)
    # On its very first start rspamd compiles some ten thousand domain suffixes before it listens: half a minute.
    facts.wait_for_port(11332, seconds=180)


def activate(root: pathlib.Path) -> None:
    """From now on the forced command is the bundle's program."""
    link = PROGRAMS / "current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(root)
    os.rename(link, PROGRAMS / "current")
    (root / "sendchief_host" / "acme_hook.sh").chmod(0o755)
    files.write(pathlib.Path("/usr/local/sbin/sendchief-host"), LAUNCHER.encode(), mode=0o755)


def new_program(payload: dict[str, Any]) -> set[str]:
    """What runs out of the bundle itself, and has to begin anew with another one."""
    older = apply.HELD.exists() and apply.held()["bundle_version"] != payload["bundle_version"]
    return {"sso"} if older else set()


def main(run_id: str, target: str) -> None:
    """Entry of the unit. Ends with exit status 0 also when the install failed: the result file says so."""
    os.environ["PATH"] = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["LC_ALL"] = "C.UTF-8"
    os.umask(0o022)
    root = pathlib.Path(target)
    payload = json.loads((root / "payload.json").read_text())
    log = Run(run_id)
    try:
        with locked("state", wait_seconds=600), locked("mail-copy", wait_seconds=600):
            log.step("packages", lambda: packages(root, payload))
            log.step("accounts", accounts)
            log.step("directories", directories)
            log.step("hostname", lambda: hostname(payload))
            log.step("activate", lambda: activate(root))
            log.step("webmail", webmail)
            log.step("keys", lambda: keys.ensure_all(payload["desired"]))
            effects = new_program(payload)
            log.step("files", lambda: effects.update(apply.write_state(payload, durable=False)))
            # One wait for the disk instead of one per file, while the services start.
            flushing = threading.Thread(target=os.sync)
            flushing.start()
            log.step("services", lambda: services(effects))
            log.step("health", health)
            log.step("disk", flushing.join)
            apply.remember(payload)
            (root / "payload.json").unlink()
            apply.forget_old_programs(root)
    except Refused as error:
        log.finish("failed", f"{error.code}: {error.detail}")
    except Exception as error:
        log.finish("failed", f"{type(error).__name__}: {error}")
        raise
    else:
        log.finish("ok")
    sys.exit(0)
