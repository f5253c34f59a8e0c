"""Processes of the bench: pinned to a core, ended with it, their CPU time read from /proc."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from pathlib import Path

from bench.gateway.variants import Variant

ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")


class Running:
    """The processes of one variant."""

    def __init__(self, variant: Variant, core: int, log: Path) -> None:
        self.variant = variant
        self._log = log
        self._processes: list[subprocess.Popen[bytes]] = []
        with log.open("wb") as out:
            for command in variant.commands:
                self._processes.append(
                    subprocess.Popen(
                        ["taskset", "-c", str(core), *command],
                        cwd=ROOT,
                        env={**os.environ, **variant.environment},
                        stdout=out,
                        stderr=out,
                        start_new_session=True,
                    )
                )

    def wait_for(self, path: str, token: str) -> None:
        """Until the variant answers 200 to this request. Raises RuntimeError with the end of its log."""
        deadline = time.monotonic() + 30
        seen: object = None
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", self.variant.port, timeout=2)
            try:
                connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                seen = (answer.status, answer.read()[:200])
                if answer.status == 200:
                    return
            except (OSError, http.client.HTTPException) as error:
                seen = error
            finally:
                connection.close()
            time.sleep(0.1)
        raise RuntimeError(f"{self.variant.name} does not answer ({seen}); its log ends: {self._tail()}")

    def cpu_seconds(self) -> float:
        """User and system time so far, children included."""
        return sum(_cpu_ticks(pid) for process in self._processes for pid in _family(process.pid)) / _TICKS

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _tail(self) -> str:
        return self._log.read_bytes()[-1500:].decode(errors="replace")


def busy_seconds() -> float:
    """Of all cores together, since boot: all but idle and waiting for disks."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / _TICKS


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
    return found


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
