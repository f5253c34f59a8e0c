"""Where a stack keeps its things.

A stack is one running SendChief on this machine: `var/<stack>/` of one checkout. The checkout is bind-mounted at
`/run/sc-<id>`, so that unprivileged accounts reach it wherever it lies, and socket paths stay short (108 bytes). There
it is read-only but for `var/`: nothing that runs changes its own code, and who removes what a crash has left below
`/run` does not remove the checkout.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """Paths of the stack `name`. Those below `mount` are what its processes see."""

    name: str
    checkout: Path = CHECKOUT

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.checkout}\0{self.name}".encode()).hexdigest()[:8]

    @property
    def mount(self) -> Path:
        return Path(f"/run/sc-{self.id}")

    @property
    def home(self) -> Path:
        return self.mount / "var" / self.name

    @property
    def var(self) -> Path:
        return self.checkout / "var" / self.name

    @property
    def python(self) -> Path:
        return self.mount / "var/venv/bin/python"

    @property
    def sockets(self) -> Path:
        return self.home / "run/services"

    @property
    def pids(self) -> Path:
        return self.home / "run/pid"

    @property
    def logs(self) -> Path:
        return self.home / "log"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def tls(self) -> Path:
        return self.home / "tls"

    @property
    def published_access_keys(self) -> Path:
        """Public keys of access tokens beside the one that signs: the next, and former ones for a while."""
        return self.home / "public/access"

    @property
    def audit_checkpoints(self) -> Path:
        """Signed heads of the vault's audit chains, written by its worker."""
        return self.home / "audit-checkpoints"

    @property
    def sandbox(self) -> Path:
        return self.home / "sandbox"

    def mounted(self) -> bool:
        # os.path.ismount does not see a bind mount within one file system.
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return any(line.split(" ")[4] == str(self.mount) for line in lines)

    def bind(self) -> None:
        """Mounts the checkout; does nothing when it is there. What an earlier checkout at this path has left, before it
        was deleted, is taken away: it would be read in place of what is written here."""
        self.var.mkdir(parents=True, exist_ok=True)
        if self.mounted() and not self.mount.samefile(self.checkout):
            self.unbind()
        if not self.mounted():
            self.mount.mkdir(parents=True, exist_ok=True)
            try:
                _mount("--bind", self.checkout, self.mount)
                _mount("--make-private", self.mount)
                _mount("--options", "remount,bind,ro", self.mount)
                _mount("--bind", self.checkout / "var", self.mount / "var")
            except subprocess.CalledProcessError:
                self.unbind()  # half of it would be taken for the whole the next time
                raise

    def unbind(self) -> None:
        while self.mounted():
            subprocess.run(["umount", "--lazy", str(self.mount)], check=True)
        if self.mount.is_dir():
            self.mount.rmdir()


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)
