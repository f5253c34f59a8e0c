"""Settings of the key service: its own few, no database, no bus, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class KeyServiceSettings(BaseSettings):
    """Environment variables `SC_SOCKET`, `SC_KEYRING_FILE`, `SC_ALLOWED_UIDS`, `SC_ROTATING_UIDS`, `SC_SOCKET_MODE`,
    `SC_LOG_LEVEL`."""

    model_config = SettingsConfigDict(
        env_prefix="SC_", extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    socket: Path
    keyring_file: Path
    allowed_uids: Annotated[frozenset[int], NoDecode]
    """Numeric uids of the vault's processes, separated by commas. Nobody else gets an answer about keys."""
    rotating_uids: Annotated[frozenset[int], NoDecode] = frozenset()
    """Who may have keys rewrapped and gets none: the vault's worker."""
    socket_mode: int = 0o666
    """Who may connect at all; who is answered is decided by the peer's uid."""
    idle_seconds: float = 30.0
    log_level: str = "INFO"

    @field_validator("allowed_uids", "rotating_uids", mode="before")
    @classmethod
    def _split_uids(cls, value: Any) -> Any:
        if isinstance(value, str):
            return json.loads(value) if value.startswith("[") else [part for part in value.split(",") if part]
        return value

    @field_validator("socket_mode", mode="before")
    @classmethod
    def _octal(cls, value: Any) -> Any:
        return int(value, 8) if isinstance(value, str) else value
