"""The files of a mailbox, given by one host, taken by another, through the control plane, which keeps none of them.

The taker says what it has, the giver answers with the difference, and afterwards the taker's files are the giver's:
messages and folders with their UIDs and flags, subscriptions and Sieve scripts are all files (Maildir). It can be
repeated at any time; what is not needed is not sent again. Everything here is done as the mail store's own user.

Lines of JSON go between the two: {"delete": path}, {"path", "kind": "d"}, {"path", "kind": "l", "target"},
{"path", "kind": "f", "size", "mtime"} which so many bytes follow and a line that says whether they are whole, and at
the end {"end": true, …}. Without the last one nothing is complete.
"""

import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import stat
import sys
import tempfile
import time
from typing import Any, BinaryIO

from .apply import elsewhere, held
from .bootstrap import MAX_REQUEST, Answer, Refused, locked, run

STORE = pathlib.Path("/var/vmail")
ADDRESS = re.compile(r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?@[a-z0-9][a-z0-9.-]{0,251}[a-z0-9]$")
CHUNK = 256 * 1024
LONGEST = 60.0
KEPT_FREE = 512 * 1024 * 1024
"""Bytes of the disk that a copy leaves free: other mailboxes of the host go on."""

Entry = list[Any]
"""["d"], ["l", target] or ["f", size in bytes, mtime in nanoseconds], as JSON has it."""


def _domain_of(request: Answer) -> tuple[str, str]:
    """(address, its domain)."""
    address = str(request.get("address", ""))
    if not ADDRESS.match(address) or ".." in address:
        raise Refused("bad_request", "address")
    return address, address.rpartition("@")[2]


def _become_store_user() -> None:
    """For the rest of this process: whatever the other side sends, it reaches nothing but the mail store."""
    account = pwd.getpwnam("vmail")
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.umask(0o077)


def _home(address: str) -> pathlib.Path:
    local_part, _, domain = address.rpartition("@")
    return STORE / domain / local_part


def listing(home: pathlib.Path) -> dict[str, Entry]:
    """Paths below `home`, parents before children. Left out is what lives for moments: deliveries under way, locks."""
    found: dict[str, Entry] = {}

    def unless_gone(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error  # what cannot be read must not count as not there

    for current, folders, names in os.walk(home, onerror=unless_gone):
        folders.sort()
        inside = pathlib.Path(current).relative_to(home)
        for name in sorted((*folders, *names)):
            path = str(inside / name)
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(home / path)
                if stat.S_ISDIR(status.st_mode):
                    found[path] = ["d"]
                elif name.endswith(".lock") or inside.name == "tmp":
                    continue
                elif stat.S_ISLNK(status.st_mode):
                    found[path] = ["l", os.readlink(home / path)]
                elif stat.S_ISREG(status.st_mode):
                    found[path] = ["f", status.st_size, status.st_mtime_ns]
    return found


# -- what the giver does -------------------------------------------------------------------------------------


def quiet(request: Answer, _payload: BinaryIO) -> Answer:
    """Whether nothing more can be written to the domain's mailboxes here. Who is still connected is disconnected."""
    domain = str(request.get("domain"))
    if domain not in elsewhere(held()["desired"]):
        raise Refused("not_closed", f"{domain} is served by this host")
    users = {line.split()[0] for line in run("doveadm", "who", check=False).splitlines()[1:] if line.strip()}
    connected = sorted(user for user in users if user.endswith(f"@{domain}"))
    for user in connected:
        run("doveadm", "kick", user, check=False)  # fails when he has just gone
    arriving = 0
    for line in run("postqueue", "-j").splitlines():
        entry = json.loads(line)
        if entry["queue_name"] in ("maildrop", "incoming", "active"):
            arriving += any(one["address"].lower().endswith(f"@{domain}") for one in entry["recipients"])
    return {"quiet": not connected and not arriving, "connected": len(connected), "arriving": arriving}


def give(request: Answer, payload: BinaryIO) -> Answer:
    """Sends what the other side lacks of a mailbox, for at most so many `seconds`, and says what it need not keep."""
    address, domain = _domain_of(request)
    if domain not in {one["name"] for one in held()["desired"]["domains"]}:
        raise Refused("unknown_domain", f"{domain} is not on this host")
    until = time.monotonic() + min(float(request.get("seconds", LONGEST)), LONGEST)
    said = json.loads(payload.readline(MAX_REQUEST) or b"{}")
    if not isinstance(said.get("entries"), dict):
        raise Refused("no_taker", "the other side did not say what it has")
    theirs: dict[str, Entry] = said["entries"]
    _become_store_user()
    home, out = _home(address), sys.stdout.buffer
    ours = listing(home)
    done = {"sent": 0, "bytes": 0, "deleted": 0, "entries": len(ours)}
    for path in sorted(theirs, reverse=True):  # children before parents
        if path not in ours or ours[path][0] != theirs[path][0]:
            _say(out, {"delete": path})
            done["deleted"] += 1
            theirs.pop(path)
    complete = True
    for path, entry in ours.items():
        if theirs.get(path) == entry:
            continue
        if time.monotonic() > until:
            complete = False
            break
        with contextlib.suppress(FileNotFoundError):  # renamed since it was listed: it is found the next time
            done["bytes"] += _send(out, home, path, entry)
            done["sent"] += 1
    _say(out, {"end": True, "complete": complete, **done})
    out.flush()
    return done


def _say(out: BinaryIO, item: dict[str, Any]) -> None:
    out.write(json.dumps(item).encode() + b"\n")


def _send(out: BinaryIO, home: pathlib.Path, path: str, entry: Entry) -> int:
    if entry[0] == "d":
        _say(out, {"path": path, "kind": "d"})
        return 0
    if entry[0] == "l":
        _say(out, {"path": path, "kind": "l", "target": entry[1]})
        return 0
    with open(os.open(home / path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        status = os.fstat(file.fileno())
        _say(out, {"path": path, "kind": "f", "size": status.st_size, "mtime": status.st_mtime_ns})
        left = status.st_size
        while left and (chunk := file.read(min(CHUNK, left))):
            out.write(chunk)
            left -= len(chunk)
    # It may have become shorter meanwhile: so many bytes were announced, and so many come.
    for at in range(0, left, CHUNK):
        out.write(bytes(min(CHUNK, left - at)))
    _say(out, {"whole": left == 0})
    return int(status.st_size)


def forget(request: Answer, _payload: BinaryIO) -> Answer:
    """Removes the mail of a domain that is no longer on this host."""
    domain = str(request.get("domain"))
    if not ADDRESS.match(f"x@{domain}") or ".." in domain:
        raise Refused("bad_request", "domain")
    with locked("state"):
        if domain in {one["name"] for one in held()["desired"]["domains"]}:
            raise Refused("still_here", f"{domain} is on this host")
        _become_store_user()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(STORE / domain)
    return {"domain": domain}


# -- what the taker does -------------------------------------------------------------------------------------


def take(request: Answer, payload: BinaryIO) -> Answer:
    """Says what is here of a mailbox, and makes it what the other side has. Only while the domain is not served here,
    and one at a time: a control plane that was asleep for a while cannot write into a mailbox that has been opened."""
    address, domain = _domain_of(request)
    with locked("mail-copy"):
        if domain not in elsewhere(held()["desired"]):
            raise Refused("not_closed", f"{domain} is served by this host")
        signal.alarm(int(LONGEST * 2))  # the other end may never come back
        _become_store_user()
        home = _home(address)
        home.mkdir(parents=True, exist_ok=True)
        _say(sys.stdout.buffer, {"entries": listing(home)})
        sys.stdout.buffer.flush()
        while True:
            item = _heard(payload)
            if "end" in item:
                break
            if "delete" in item:
                _delete(_inside(home, item["delete"]))
            else:
                _put(home, item, payload)
        # The other side may forget what we have said to have.
        os.sync()
        signal.alarm(0)
    return {key: item[key] for key in ("complete", "sent", "bytes", "deleted", "entries")}


def _heard(payload: BinaryIO) -> dict[str, Any]:
    line = payload.readline(CHUNK)
    if not line.endswith(b"\n"):
        raise Refused("cut_off", "the other side's answer broke off")
    item = json.loads(line)
    if not isinstance(item, dict) or item.get("ok") is False:
        said = item.get("error", {}) if isinstance(item, dict) else {}
        raise Refused("giver_failed", f"{said.get('code')}: {said.get('detail')}"[:500])
    return item


def _inside(home: pathlib.Path, path: object) -> pathlib.Path:
    """Raises Refused for a path that leads out of the mailbox."""
    parts = path.split("/") if isinstance(path, str) else [""]
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise Refused("bad_request", "a path leads out of the mailbox")
    return home.joinpath(*parts)


def _delete(path: pathlib.Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _put(home: pathlib.Path, item: dict[str, Any], payload: BinaryIO) -> None:
    path = _inside(home, item.get("path"))
    if item["kind"] == "d":
        path.mkdir(exist_ok=True)
    elif item["kind"] == "l":
        target = str(item["target"]).removeprefix(f"{home}/")
        _inside(home, target)
        _delete(path)
        path.symlink_to(item["target"])
    else:
        _put_file(path, int(item["size"]), int(item["mtime"]), payload)


def _put_file(path: pathlib.Path, size: int, mtime: int, payload: BinaryIO) -> None:
    """Under another name until it is whole. One that is left behind by a crash is deleted by the next copy."""
    free = os.statvfs(path.parent)
    if free.f_bavail * free.f_frsize < size + KEPT_FREE:
        raise Refused("disk_full", "there is no room for the mail on this host's disk")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".sc-copy.")
    with open(handle, "wb") as file:
        left = size
        while left:
            chunk = payload.read(min(CHUNK, left))
            if not chunk:
                raise Refused("cut_off", "the other side's answer broke off")
            file.write(chunk)
            left -= len(chunk)
    if not _heard(payload).get("whole"):
        os.unlink(name)
        return
    os.utime(name, ns=(mtime, mtime))
    os.rename(name, path)
