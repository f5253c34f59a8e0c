"""The vault's API as it is, save that a reveal answers a fixed text: what it is compared with.

Signature, limits, transaction, row security and audit row stay. What falls away is the data key's row, the count of
decryptions and the two AESGCM calls.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.vault import app
from services.vault.secret_bytes import SecretBytes
from services.vault.settings import ApiSettings
from services.vault.wiring import build_resources


def create_app() -> FastAPI:
    settings = ApiSettings()  # from the environment, like the vault's own
    resources = build_resources(settings)

    async def answer(*_: Any) -> SecretBytes:
        return SecretBytes(b"not-decrypted-at-all-26-lo")

    resources.mailboxes._store.open = answer  # type: ignore[method-assign, assignment]
    return app.create_app(settings, resources)
