"""python -m services.vault.admin keys --workspace ws_…: the state of a workspace's data keys, never their material.

Reads as the role of `SC_DATABASE_URL`; the worker's sees every workspace.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from sqlalchemy import func, select

from services.vault.models import DataKey, Secret, ShreddedScope
from services.vault.settings import WorkerSettings
from shared.db.database import Database


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON document; exit status 0."""
    parser = argparse.ArgumentParser(prog="python -m services.vault.admin", description="For operators.")
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keys", help="state of a workspace's data keys")
    keys.add_argument("--workspace", required=True, metavar="ws_…", help="workspace id, or `platform`")
    options = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(_keys(options.workspace)), indent=2))
    return 0


async def _keys(scope: str) -> dict[str, Any]:
    database = Database.from_settings(WorkerSettings())
    try:
        return await state_of(database, scope)
    finally:
        await database.dispose()


async def state_of(database: Database, scope: str) -> dict[str, Any]:
    """{"scope", "shredded_at", "secrets", "data_keys": [{"version", "state", "has_key_material", …}]}"""
    async with database.transaction(workspace_id=scope) as session:
        rows = await session.scalars(select(DataKey).where(DataKey.scope == scope).order_by(DataKey.version))
        ended = await session.get(ShreddedScope, scope)
        secrets = await session.scalar(select(func.count()).where(Secret.workspace_id == scope))
        return {
            "scope": scope,
            "shredded_at": ended.at.isoformat() if ended else None,
            "secrets": secrets,
            "data_keys": [_described(row) for row in rows],
        }


def _described(row: DataKey) -> dict[str, Any]:
    return {
        "version": row.version,
        "state": row.state,
        "has_key_material": row.wrapped is not None,
        "root_key_id": row.root_key_id,
        "encryptions": row.encryptions,
        "created_at": row.created_at.isoformat(),
        "shredded_at": row.shredded_at.isoformat() if row.shredded_at else None,
    }


if __name__ == "__main__":
    sys.exit(main())
