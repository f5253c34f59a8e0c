"""What a process that holds keys does to itself before anything else."""

from __future__ import annotations

import ctypes
import os
import resource

PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """No core file, no ptrace by others of the same uid, no readable /proc/self/mem (prctl(2), core(5)).

    Raises OSError when the kernel refuses: a process that could be dumped must not go on to hold keys.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def is_dumpable() -> bool:
    """Whether the kernel would write a core dump of this process or let its own uid trace it."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
