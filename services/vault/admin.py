"""python -m services.vault.admin COMMAND: for operators. Prints one JSON document, and never any key's material.

keys       --workspace ws_…                  state of a workspace's data keys, and how many secrets each wraps
rotate     [--workspace ws_…] [--new-key]    what the worker does by itself, now; --new-key replaces a key not yet due
root-keys                                    how many data keys hang on each root key; one with 0 can be removed
verify     --checkpoints DIR --public-key FILE   whether the audit rows are those that were written

Works as the role of `SC_DATABASE_URL`; the worker's sees every workspace.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from services.vault.models import DataKey, Secret, ShreddedScope
from services.vault.rotation.service import BATCH
from services.vault.settings import WorkerSettings
from services.vault.wiring import build_rotation
from shared.audit import verification
from shared.audit.checkpoints import CheckpointWrong, load_public_key, read_checkpoints
from shared.db.database import Database
from shared.observability.logging import configure_logging

Run = Callable[[WorkerSettings, Database, argparse.Namespace], Awaitable[dict[str, Any]]]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 1 when a rotation found what does not open, or audit rows were tampered with."""
    options = _parser().parse_args(arguments)
    document = asyncio.run(_with_database(options.run, options))
    print(json.dumps(document, indent=2))
    return 1 if document.get("damaged") or document.get("ok") is False else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.vault.admin", description="For operators.")
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keys", help="state of a workspace's data keys")
    keys.add_argument("--workspace", required=True, metavar="ws_…", help="workspace id, or `platform`")
    keys.set_defaults(run=_keys)
    rotate = commands.add_parser("rotate", help="rewrap what is due now")
    rotate.add_argument("--workspace", metavar="ws_…", help="this one only; default: all")
    rotate.add_argument(
        "--new-key", action="store_true", help="begin a new data key first (takes --workspace)"
    )
    rotate.add_argument("--batch", type=int, default=BATCH, help=f"secrets at once (default {BATCH})")
    rotate.set_defaults(run=_rotate)
    roots = commands.add_parser("root-keys", help="what hangs on each root key")
    roots.set_defaults(run=_root_keys)
    verify = commands.add_parser("verify", help="audit rows against their chain and signed checkpoints")
    verify.add_argument("--checkpoints", required=True, type=Path, metavar="DIR")
    verify.add_argument("--public-key", required=True, type=Path, metavar="FILE", help="PEM")
    verify.set_defaults(run=_verify)
    return parser


async def _with_database(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    settings = WorkerSettings()
    configure_logging("vault", settings.log_level, "admin")
    database = Database.from_settings(settings)
    try:
        return await run(settings, database, options)
    finally:
        await database.dispose()


async def _keys(_: WorkerSettings, database: Database, options: argparse.Namespace) -> dict[str, Any]:
    return await state_of(database, options.workspace)


async def _rotate(
    settings: WorkerSettings, database: Database, options: argparse.Namespace
) -> dict[str, Any]:
    rotation = build_rotation(settings, database, batch=options.batch)
    if options.new_key:
        if not options.workspace:
            raise SystemExit("--new-key takes --workspace")
        await rotation.start_version(options.workspace)
    return asdict(await rotation.run(options.workspace))


async def _root_keys(settings: WorkerSettings, database: Database, _: argparse.Namespace) -> dict[str, Any]:
    return {"data_keys": await build_rotation(settings, database).root_keys()}


async def _verify(_: WorkerSettings, database: Database, options: argparse.Namespace) -> dict[str, Any]:
    """{"ok", "checkpoints", "checkpoints_wrong", "workspaces", "rows", "checkpointed_rows", "tampered": [{…}]}"""
    key = load_public_key(options.public_key)
    wrong, checkpoints = None, []
    try:
        checkpoints = read_checkpoints(options.checkpoints, key, "vault")
    except CheckpointWrong as error:
        wrong = str(error)
    found = await verification.verify(database.engine, checkpoints)
    return {
        "ok": not wrong and not found.tampered,
        "checkpoints": len(checkpoints),
        "checkpoints_wrong": wrong,
        **asdict(found),
    }


async def state_of(database: Database, scope: str) -> dict[str, Any]:
    """{"scope", "shredded_at", "secrets", "data_keys": [{"version", "state", "has_key_material", …}]}"""
    async with database.transaction(workspace_id=scope) as session:
        rows = await session.scalars(select(DataKey).where(DataKey.scope == scope).order_by(DataKey.version))
        ended = await session.get(ShreddedScope, scope)
        counted = await session.execute(
            select(Secret.data_key_version, func.count())
            .where(Secret.workspace_id == scope)
            .group_by(Secret.data_key_version)
        )
        secrets = {row[0]: row[1] for row in counted}
        return {
            "scope": scope,
            "shredded_at": ended.at.isoformat() if ended else None,
            "secrets": sum(secrets.values()),
            "data_keys": [_described(row, secrets.get(row.version, 0)) for row in rows],
        }


def _described(row: DataKey, secrets: int) -> dict[str, Any]:
    return {
        "version": row.version,
        "state": row.state,
        "has_key_material": row.wrapped is not None,
        "root_key_id": row.root_key_id,
        "secrets": secrets,
        "encryptions": row.encryptions,
        "rewraps": row.rewraps,
        "created_at": row.created_at.isoformat(),
        "shredded_at": row.shredded_at.isoformat() if row.shredded_at else None,
    }


if __name__ == "__main__":
    sys.exit(main())
