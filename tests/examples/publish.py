"""Writes the examples of the public OpenAPI document into `gateway/examples.json`: python -m tests.examples.publish

It brings its own PostgreSQL, as a test run does, and takes about a minute.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.examples import FILE
from tests.examples.house import house
from tests.examples.record import recorded
from tests.fixtures import run
from tests.fixtures.database import ServiceDatabases, databases, started
from tests.fixtures.identity import make_trust


def main() -> None:
    run.begin()
    try:
        with databases(started()) as service_database, TemporaryDirectory() as directory:
            content = asyncio.run(_recorded(service_database, Path(directory)))
    finally:
        run.end()
    FILE.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


async def _recorded(service_database: ServiceDatabases, directory: Path) -> dict[str, Any]:
    trust = make_trust(directory / "keys", directory / "trust")
    async with house(service_database, trust, directory) as made:
        return await recorded(made)


if __name__ == "__main__":
    main()
