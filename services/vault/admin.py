"""Commands for operators.

python -m services.vault.admin keys --workspace ws_…: the state of a workspace's data keys, never their material.
python -m services.vault.admin verify --checkpoints DIR --public-key FILE: whether the audit rows are those written.

Reads as the role of `SC_DATABASE_URL`; the worker's sees every workspace.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from sqlalchemy import func, select

from services.vault.models import DataKey, Secret, ShreddedScope
from services.vault.settings import WorkerSettings
from shared.audit import verification
from shared.audit.checkpoints import CheckpointWrong, load_public_key, read_checkpoints
from shared.db.database import Database


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON document; exit status 0, or 1 when audit rows were tampered with."""
    parser = argparse.ArgumentParser(prog="python -m services.vault.admin", description="For operators.")
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keys", help="state of a workspace's data keys")
    keys.add_argument("--workspace", required=True, metavar="ws_…", help="workspace id, or `platform`")
    verify = commands.add_parser("verify", help="audit rows against their chain and signed checkpoints")
    verify.add_argument("--checkpoints", required=True, type=Path, metavar="DIR")
    verify.add_argument("--public-key", required=True, type=Path, metavar="FILE", help="PEM")
    options = parser.parse_args(arguments)
    if options.command == "verify":
        document = asyncio.run(_verify(options.checkpoints, load_public_key(options.public_key)))
        print(json.dumps(document, indent=2))
        return 0 if document["ok"] else 1
    print(json.dumps(asyncio.run(_keys(options.workspace)), indent=2))
    return 0


async def _verify(directory: Path, key: EllipticCurvePublicKey) -> dict[str, Any]:
    """{"ok", "checkpoints", "checkpoints_wrong", "workspaces", "rows", "checkpointed_rows", "tampered": [{…}]}"""
    wrong, checkpoints = None, []
    try:
        checkpoints = read_checkpoints(directory, key, "vault")
    except CheckpointWrong as error:
        wrong = str(error)
    database = Database.from_settings(WorkerSettings())
    try:
        found = await verification.verify(database.engine, checkpoints)
    finally:
        await database.dispose()
    return {
        "ok": not wrong and not found.tampered,
        "checkpoints": len(checkpoints),
        "checkpoints_wrong": wrong,
        **asdict(found),
    }


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
