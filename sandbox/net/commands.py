"""Runs the system's own tools (ip, nft, nsenter) and turns their failures into one typed error."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence


class CommandFailed(RuntimeError):
    """A tool ended with a status other than 0. `argv`, `status` and `stderr` say which and why."""

    def __init__(self, argv: Sequence[str], status: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.stderr = stderr.strip()
        super().__init__(f"{' '.join(argv)} ended with status {status}: {self.stderr[-800:]}")


class ToolMissing(RuntimeError):
    """A tool is not installed; the message names the Debian package."""


DEBIAN_PACKAGE_OF = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "sysctl": "procps",
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "apt-cacher-ng": "apt-cacher-ng",
    "ssh-keygen": "openssh-client",
}


async def run(*argv: str, stdin: str = "", check: bool = True) -> str:
    """Run `argv` to its end and return its standard output.

    `check=False` returns the output whatever the status was. Raises CommandFailed, ToolMissing.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C.UTF-8",
                "HOME": os.environ.get("HOME", "/"),
            },
        )
    except FileNotFoundError as error:
        package = DEBIAN_PACKAGE_OF.get(argv[0], argv[0])
        raise ToolMissing(f"{argv[0]} is not installed: apt-get install {package}") from error
    stdout, stderr = await process.communicate(stdin.encode())
    if check and process.returncode != 0:
        raise CommandFailed(argv, process.returncode or 0, stderr.decode(errors="replace"))
    return stdout.decode(errors="replace")
