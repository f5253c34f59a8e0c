"""Settings of the key service: its own few, no database, no bus; the network only for a KMS."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.settings import ProcessSettings

NEEDED = {
    "keyring": ("keyring_file",),
    "scaleway": ("scaleway_key_id", "scaleway_secret_key"),
    "transit": ("transit_url", "transit_key", "transit_token_file"),
}
"""What a store of root keys cannot do without. One is configured when all of it is given."""

_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class KeyServiceSettings(ProcessSettings):
    """Environment variables `SC_SOCKET`, `SC_ALLOWED_UIDS`, `SC_ROTATING_UIDS`, `SC_SOCKET_MODE`, `SC_LOG_LEVEL`,
    `SC_ROOT_KEYS`, and those of the stores of root keys that are in use."""

    socket: Path
    allowed_uids: Annotated[frozenset[int], NoDecode]
    """Numeric uids of the vault's processes, separated by commas. Nobody else gets an answer about keys."""
    rotating_uids: Annotated[frozenset[int], NoDecode] = frozenset()
    """Who may have keys rewrapped and gets none: the vault's worker."""
    socket_mode: int = 0o666
    """Who may connect at all; who is answered is decided by the peer's uid."""
    idle_seconds: float = 30.0
    log_level: str = "INFO"

    root_keys: Literal["keyring", "scaleway", "transit"] = "keyring"
    """Which root keys wrap. What another store has wrapped still opens while that one is configured too."""
    kms_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 1.5
    """For one call to a KMS, to its last byte; below the callers' `SC_KEY_SERVICE_TIMEOUT_SECONDS`."""
    kms_ca_file: Path | None = None
    """Certificate authorities beside the system's."""

    keyring_file: Path | None = None

    scaleway_url: str = "https://api.scaleway.com"
    scaleway_region: str = "fr-par"
    scaleway_key_id: UUID | None = None
    """A key of usage symmetric_encryption, aes_256_gcm."""
    scaleway_secret_key: SecretStr | None = None
    """Of an application of its own, that may use keys and read their state and nothing else."""

    transit_url: str = ""
    """Vault's or OpenBao's, without `/v1`."""
    transit_namespace: str | None = None
    transit_mount: str = "transit"
    transit_key: str = ""
    """A key of type aes256-gcm96, not derived."""
    transit_token_file: Path | None = None
    """Read at each call: whoever renews the token (an agent) replaces the file."""

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

    @field_validator("scaleway_url", "transit_url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        """A data key goes over this connection."""
        if value and not value.startswith("https://"):
            raise ValueError("a KMS is asked over https only")
        return value.rstrip("/")

    @field_validator("scaleway_region", "transit_mount", "transit_key")
    @classmethod
    def _part_of_a_path(cls, value: str) -> str:
        if value and not _PATH_PART.fullmatch(value):
            raise ValueError("letters, digits, _ . - and / only")
        return value

    @model_validator(mode="after")
    def _what_wraps_is_there(self) -> Self:
        if not self.has(self.root_keys):
            names = ", ".join(f"SC_{name.upper()}" for name in NEEDED[self.root_keys])
            raise ValueError(f"root keys of kind {self.root_keys} take {names}")
        return self

    def has(self, kind: str) -> bool:
        """Whether this store of root keys is configured."""
        return all(getattr(self, name) for name in NEEDED[kind])
