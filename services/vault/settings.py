"""Settings of the vault's processes. The key service has its own (keyservice/settings.py)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

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


class WorkerSettings(_VaultSettings):
    role: Literal["api", "worker"] = "worker"
