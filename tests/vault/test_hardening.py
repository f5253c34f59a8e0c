from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from services.vault import hardening

CODE = """
import resource
from services.vault import hardening
assert hardening.is_dumpable()
hardening.forbid_core_dumps()
print(hardening.is_dumpable(), resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_the_process_can_no_longer_be_dumped() -> None:
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert result.stdout == "False (0, 0)\n"


def test_a_kernel_that_refuses_stops_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        @staticmethod
        def prctl(*_: int) -> int:
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc())
    with pytest.raises(OSError):  # noqa: PT011 (the number is the kernel's)
        hardening.forbid_core_dumps()
