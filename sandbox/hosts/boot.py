"""The command that is one life of a server: overlay, network namespace, systemd-nspawn."""

from __future__ import annotations

from pathlib import Path

from sandbox.hosts.disk import Disk
from sandbox.hosts.images import UID_BASE
from sandbox.net.namespace import BRIDGE, NSPAWN_COMMAND

# $1 image, $2 upper, $3 work, $4 mount point, and the same four of a disk that is only looked at (empty: none), $9
# namespace file; the rest is the command. nspawn's own run-time directory is private too, so that nothing of it stays
# on the machine.
BOOT_SCRIPT = """\
set -e
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=0755 tmpfs /run/systemd/nspawn
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"
if [ -n "$5" ]; then mount -t overlay overlay -o "lowerdir=$5,upperdir=$6,workdir=$7" "$8"; fi
namespace=$9
shift 9
exec nsenter --net="$namespace" -- "$@"
"""


def boot_command(disk: Disk, machine: str, namespace: Path, attached: Disk | None = None) -> list[str]:
    """Boots `disk` as `machine` in the network namespace at `namespace`; ends when the system does.

    `attached` is another disk, which the system sees at /mnt.
    """
    layers = [*_layers(disk), *(_layers(attached) if attached else [""] * 4), str(namespace)]
    binds = [f"--bind={attached.root}:/mnt"] if attached else []
    nspawn = [
        NSPAWN_COMMAND,
        "--quiet",
        "--register=no",
        "--keep-unit",
        f"--machine={machine}",
        f"--directory={disk.root}",
        f"--network-bridge={BRIDGE}",
        "--resolv-conf=off",
        "--link-journal=no",
        "--timezone=off",
        "--console=read-only",
        f"--private-users={UID_BASE}:65536",
        "--private-users-ownership=chown",
        *binds,
        "--boot",
    ]
    return ["unshare", "--mount", "--propagation=slave", "/bin/sh", "-c", BOOT_SCRIPT, "sh", *layers, *nspawn]


def _layers(disk: Disk) -> list[str]:
    return [str(each) for each in (disk.image, disk.upper, disk.work, disk.root)]
