"""What every process is told from outside: environment variables `SC_…`, secrets as files.

A secret is a file in `$SC_SECRETS_DIR` whose name is the variable's in lower case (`sc_database_url`). Nothing is
read at import time, and no value is ever echoed back by a validation error.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)


class ProcessSettings(BaseSettings):
    """Where the settings of any process come from, and in what order."""

    model_config = SettingsConfigDict(
        env_prefix="SC_", extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        directory = os.environ.get("SC_SECRETS_DIR")
        if directory:
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=directory))
        return tuple(sources)


class ServiceSettings(ProcessSettings):
    """Settings of one process of a service. Services add their own fields in ApiSettings and WorkerSettings."""

    environment: str = "production"
    service: str
    role: Literal["api", "worker"]
    socket: Path
    socket_mode: int = 0o666
    """Mode of the listening socket; the directory that holds it decides who may reach it."""

    database_url: SecretStr
    """postgresql+asyncpg://…, of the app role (API) or the worker role; may lead through a pooler."""
    database_direct_url: SecretStr | None = None
    """The same role without a pooler: LISTEN, advisory locks, migrations."""
    database_pooler: Literal["none", "transaction"] = "none"
    database_pool_size: int = 5

    amqp_url: SecretStr | None = None
    amqp_ca_file: Path | None = None

    identity_trust_dir: Path
    """Files `<issuer>.pem`: public keys of those who may sign internal tokens."""
    identity_key_file: Path | None = None

    services_dir: Path = Path("/run/sendchief")
    """Sockets `<service>.sock` of the services that may be called."""
    http_ca_file: Path | None = None
    resolver: Annotated[list[str] | None, NoDecode] = None
    public_url: str = "https://localhost"
    log_level: str = "INFO"
    shutdown_seconds: int = 8

    @field_validator("resolver", mode="before")
    @classmethod
    def _split_addresses(cls, value: Any) -> Any:
        """Accepts a JSON list or addresses separated by commas."""
        if isinstance(value, str):
            return json.loads(value) if value.startswith("[") else [part.strip() for part in value.split(",")]
        return value

    @field_validator("socket_mode", mode="before")
    @classmethod
    def _octal(cls, value: Any) -> Any:
        return int(value, 8) if isinstance(value, str) else value

    def direct_url(self) -> SecretStr:
        """The DSN that no pooler stands in front of."""
        return self.database_direct_url or self.database_url
