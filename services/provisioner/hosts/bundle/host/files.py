"""Files replaced by rename, so that a reader sees the old or the new and a crash leaves one of both."""

import concurrent.futures
import grp
import os
import pathlib
import pwd
import tempfile
import time
from collections.abc import Iterable
from typing import Any

POSTFIX = pathlib.Path("/etc/postfix")
"""Its programs wait until their configuration is two seconds old, lest they read half of it; ours is always whole."""


def write(
    path: pathlib.Path,
    content: bytes,
    *,
    owner: str = "root",
    group: str = "root",
    mode: int = 0o644,
    durable: bool = True,
) -> bool:
    """Makes `path` so; returns whether anything changed.

    Without `durable` the caller sees to it that the disk has everything before he says that it is done.
    """
    uid, gid = pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
    try:
        status = path.lstat()
        same = (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (uid, gid, mode)
        if same and not path.is_symlink() and path.read_bytes() == content:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            file.flush()
            if path.parent == POSTFIX:
                settled = time.time() - 5
                os.utime(file.fileno(), (settled, settled))
            if durable:
                os.fsync(file.fileno())
        os.rename(name, path)
    except BaseException:
        pathlib.Path(name).unlink(missing_ok=True)
        raise
    return True


def directory(path: str, *, owner: str = "root", group: str = "root", mode: int = 0o755) -> pathlib.Path:
    """Makes a directory so, with its parents."""
    made = pathlib.Path(path)
    made.mkdir(parents=True, exist_ok=True)
    os.chown(made, pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
    made.chmod(mode)
    return made


def write_all(entries: Iterable[dict[str, Any]], *, durable: bool = True) -> tuple[set[str], list[str]]:
    """Writes rendered files; returns the effects of those that changed, and their paths."""

    def one(entry: dict[str, Any]) -> bool:
        path, content = pathlib.Path(entry["path"]), entry["content"].encode()
        owner, group, mode = entry["owner"], entry["group"], entry["mode"]
        return write(path, content, owner=owner, group=group, mode=mode, durable=durable)

    listed = list(entries)
    # Each write waits for the disk: side by side they share one wait.
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        changed = [entry for entry, new in zip(listed, pool.map(one, listed), strict=True) if new]
    return {entry["effect"] for entry in changed if entry["effect"]}, [entry["path"] for entry in changed]


def prune(directories: Iterable[str], keep: set[str]) -> list[str]:
    """Removes files below `directories` that are not in `keep`; returns them."""
    gone: list[str] = []
    for root in directories:
        for current, folders, names in os.walk(root, topdown=False):
            for name in names:
                path = os.path.join(current, name)
                if path not in keep:
                    os.unlink(path)
                    gone.append(path)
            for folder in folders:
                inner = os.path.join(current, folder)
                if not os.listdir(inner):
                    os.rmdir(inner)
    return gone
