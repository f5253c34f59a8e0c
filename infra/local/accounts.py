"""Which numeric uid each process of a stack runs under, and how to become it.

The uids need no passwd entry. PostgreSQL and RabbitMQ insist on a name, so they borrow the system accounts that
their Debian packages make; clusters and nodes are still the stack's own.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

# One group for all of a stack's processes: it opens the socket directory and nothing else.
STACK_GID = 17300

UIDS: dict[str, int] = {
    "gateway": 17301,
    "auth-api": 17302,
    "auth-worker": 17303,
    "vault-api": 17304,
    "vault-worker": 17305,
    "vault-keys": 17306,
    "provisioner-api": 17307,
    "provisioner-worker": 17308,
    "dns-api": 17309,
    "dns-worker": 17310,
    "reputation-api": 17311,
    "reputation-worker": 17312,
    "nginx": 17313,
}


@dataclass(frozen=True)
class Account:
    """A uid and gid; `command` prefixes an argument list so that it runs as them, with nothing left to regain."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def command(self, argv: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return argv
        groups = ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        return [
            "setpriv",
            "--reuid",
            str(self.uid),
            "--regid",
            str(self.gid),
            *groups,
            "--no-new-privs",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--",
            *argv,
        ]

    def own(self, path: str | os.PathLike[str], mode: int) -> None:
        """Gives a file or directory to this account with exactly `mode`."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)
        os.chmod(path, mode)


def of_process(name: str) -> Account:
    return Account(UIDS[name], STACK_GID)


def of_system_user(name: str) -> Account:
    """The account of a Debian package; without root it is whoever runs this."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    entry = pwd.getpwnam(name)
    return Account(entry.pw_uid, entry.pw_gid, (entry.pw_gid, STACK_GID))
