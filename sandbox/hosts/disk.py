"""A server's disk: an image below, the server's own changes above (overlayfs), written to while it is powered off."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sandbox.hosts.images import UID_BASE


class Disk:
    """`image` is the lower layer, `directory` holds `upper/`, `work/` and the mount point `root/`.

    Paths are those that the server sees ("/etc/hostname"). Ids are the server's own: 0 is its root. Nothing here may
    be called while the server runs: changing the upper layer of a mounted overlay is undefined
    (kernel documentation, overlayfs, "Changes to underlying filesystems").
    """

    def __init__(self, image: Path, directory: Path) -> None:
        self.image = image
        self.upper = directory / "upper"
        self.work = directory / "work"
        self.root = directory / "root"

    def create(self) -> None:
        for each in (self.upper, self.work, self.root):
            each.mkdir(parents=True, exist_ok=True)
        os.chown(self.upper, UID_BASE, UID_BASE)
        self.upper.chmod(0o755)

    def existing(self, path: str) -> Path | None:
        """Where the file that the server sees at `path` lies, in the upper or lower layer; None when there is none."""
        upper, lower = self._in(self.upper, path), self._in(self.image, path)
        if os.path.lexists(upper):
            return None if _is_whiteout(upper) else upper
        return lower if os.path.lexists(lower) and not self._hidden(path) else None

    def read(self, path: str) -> bytes | None:
        found = self.existing(path)
        return found.read_bytes() if found is not None and found.is_file() else None

    def write(self, path: str, content: str | bytes, mode: int = 0o644, owner: int = 0) -> None:
        """Put a file, with its directories as the image has them (root's, 0755, where it has none)."""
        target = self._prepare(path)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            os.fchmod(file.fileno(), mode)
            os.fchown(file.fileno(), UID_BASE + owner, UID_BASE + owner)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link at `path`."""
        place = self._prepare(path)
        os.symlink(target, place)
        os.lchown(place, UID_BASE, UID_BASE)

    def remove(self, path: str) -> None:
        """Take away a file that was put here by `write`; a file of the image shows again."""
        place = self._in(self.upper, path)
        if os.path.lexists(place) and not _is_whiteout(place):
            place.unlink()

    def names(self, path: str) -> list[str]:
        """The names in a directory of the upper layer (what was written since the image was made)."""
        directory = self._in(self.upper, path)
        return sorted(os.listdir(directory)) if directory.is_dir() else []

    def owner_of(self, path: str) -> int | None:
        """The server's own uid of a file or directory, or None when it does not exist."""
        found = self.existing(path)
        return None if found is None else os.lstat(found).st_uid - UID_BASE

    def _in(self, layer: Path, path: str) -> Path:
        parts = [part for part in path.split("/") if part]
        if ".." in parts:
            raise ValueError(f"{path}: no way up out of a server's disk")
        return layer.joinpath(*parts)

    def _prepare(self, path: str) -> Path:
        target = self._in(self.upper, path)
        self._make_directory(target.parent)
        if os.path.lexists(target):
            target.unlink()
        return target

    def _make_directory(self, directory: Path) -> None:
        """Make an upper directory that looks like the image's. The server decides what is in its upper layer, so a
        link or file where a directory should be is refused, not followed."""
        if directory == self.upper:
            return
        self._make_directory(directory.parent)
        if os.path.lexists(directory):
            if not stat.S_ISDIR(os.lstat(directory).st_mode):
                if not _is_whiteout(directory):
                    raise NotADirectoryError(f"{directory} is not a directory on the server")
                directory.unlink()
            else:
                return
        pattern = self.image / directory.relative_to(self.upper)
        directory.mkdir()
        if pattern.is_dir() and not pattern.is_symlink():
            found = pattern.stat()
            os.chown(directory, found.st_uid, found.st_gid)
            directory.chmod(stat.S_IMODE(found.st_mode))
        else:
            os.chown(directory, UID_BASE, UID_BASE)
            directory.chmod(0o755)

    def _hidden(self, path: str) -> bool:
        """Whether a directory above `path` was deleted or replaced in the upper layer."""
        place = self._in(self.upper, path).parent
        while place != self.upper:
            if os.path.lexists(place):
                return _is_whiteout(place) or _is_opaque(place)
            place = place.parent
        return False


def _is_whiteout(path: Path) -> bool:
    found = os.lstat(path)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
