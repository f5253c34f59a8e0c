"""Workers that can be killed: each is a process of its own; the outside world lives in the test's and survives it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.provisioner import worker_process
from tests.provisioner.stage import Stage


@dataclass
class Workers:
    """Processes of the reconciler, on one stage."""

    stage: Stage
    directory: Path
    socket: Path
    running: list[BaseProcess] = field(default_factory=list)

    def start(self, *, crashpoint: str = "", **fields: object) -> BaseProcess:
        number = len(self.running)
        values = json.loads(self.stage.settings.model_dump_json(exclude_none=True))
        secrets = ("database_url", "scaleway_secret_key", "stripe_secret_key", "host_key_secret")
        values |= {name: getattr(self.stage.settings, name).get_secret_value() for name in secrets}
        values |= {"outside": str(self.socket), "owner": f"p{number}", "idle_limit_ms": 1500, **fields}
        file = self.directory / f"worker{number}.json"
        file.write_text(json.dumps(values))
        process = worker_process.start(file, self._log(number), crashpoint)
        self.running.append(process)
        return process

    def _log(self, number: int) -> Path:
        return self.directory / f"worker{number}.log"

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        """Lets the other services answer until `holds`."""
        async with asyncio.timeout(seconds):
            while not await holds():
                await self.stage.others.step()
                await asyncio.sleep(0.05)

    async def died(self, process: BaseProcess) -> None:
        async def ended() -> bool:
            return process.exitcode is not None

        await self.until(ended)
        assert process.exitcode == -signal.SIGKILL, self._log(self.running.index(process)).read_text()[-3000:]

    async def taken_over(
        self, crashpoint: str, holds: Callable[[], Awaitable[bool]], **fields: object
    ) -> None:
        """One worker dies at `crashpoint`, another goes on until `holds`."""
        await self.died(self.start(crashpoint=crashpoint, **fields))
        self.start(crashpoint="", **fields)
        await self.until(holds)

    def signal(self, process: BaseProcess, number: signal.Signals) -> None:
        assert process.pid is not None
        os.kill(process.pid, number)

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.join()
