"""The closed network of one sandbox: its addresses, its namespace, and the control groups of what runs in it."""

from sandbox.net.addresses import AddressRange, NoRangeFree
from sandbox.net.cgroups import Cgroup, CgroupBusy
from sandbox.net.commands import CommandFailed, ToolMissing, run
from sandbox.net.namespace import Namespace

__all__ = [
    "AddressRange",
    "Cgroup",
    "CgroupBusy",
    "CommandFailed",
    "Namespace",
    "NoRangeFree",
    "ToolMissing",
    "run",
]
