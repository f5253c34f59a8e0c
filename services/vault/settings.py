"""Settings of the vault's processes. The key service has its own (keyservice/settings.py)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.settings import ServiceSettings


class _VaultSettings(ServiceSettings):
    service: str = "vault"
    key_service_socket: Path
    """Where the key service listens: its `SC_SOCKET`."""
    key_service_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 2.0
    data_key_seconds: Annotated[int, Field(ge=0, le=300)] = 300
    """How long an unwrapped data key may stay in memory; five minutes at most."""

    @property
    def data_key_lifetime(self) -> timedelta:
        return timedelta(seconds=self.data_key_seconds)


class ApiSettings(_VaultSettings):
    role: Literal["api", "worker"] = "api"
    reveals_per_hour: Annotated[int, Field(gt=0)] = 60
    """How many passwords one person may look at; as many at once, if he has looked at none for an hour."""
    exports_per_hour: Annotated[int, Field(gt=0)] = 20
    app_passwords_per_hour: Annotated[int, Field(gt=0)] = 60
    breached_passwords_file: Path | None = None
    """Filter of leaked passwords, made by `python -m shared.passwords.breached`."""


class WorkerSettings(_VaultSettings):
    role: Literal["api", "worker"] = "worker"
    audit_checkpoint_dir: Path | None = None
    """Where signed heads of the audit chains are written: outside the database, best on write-once storage."""
    audit_key_file: Path | None = None
    """The P-256 key (PKCS #8 PEM) that signs them."""
    audit_checkpoint_seconds: Annotated[int, Field(gt=0)] = 60

    @model_validator(mode="after")
    def _checkpoints_need_both(self) -> Self:
        if (self.audit_checkpoint_dir is None) != (self.audit_key_file is None):
            raise ValueError("audit_checkpoint_dir and audit_key_file are given together or not at all")
        return self
