"""What the vault's processes are put together from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.vault.app_passwords.service import AppPasswords
from services.vault.credential_rotations.service import CredentialRotations
from services.vault.data_keys.cache import DataKeyCache
from services.vault.data_keys.service import DataKeys
from services.vault.exports.service import Exports
from services.vault.mailboxes.change_password import PasswordChanges
from services.vault.mailboxes.service import Mailboxes
from services.vault.ports import KeyService
from services.vault.provider_tokens.service import ProviderTokens
from services.vault.providers.local_key_service import LocalKeyService
from services.vault.read_limits.service import Kind, ReadLimits
from services.vault.rotation.service import BATCH, Rotation
from services.vault.secrets.service import SecretStore
from services.vault.servers.service import Servers
from services.vault.settings import ApiSettings, WorkerSettings
from services.vault.webmail.ending import WebmailEnding
from services.vault.webmail.service import Webmail
from services.vault.workspaces.service import Workspaces
from shared.clock import Clock, SystemClock
from shared.db.database import Database
from shared.passwords import BreachedPasswords, PasswordPolicy


@dataclass(frozen=True)
class Resources:
    key_service: KeyService
    cache: DataKeyCache
    mailboxes: Mailboxes
    servers: Servers
    webmail: Webmail
    webmail_ending: WebmailEnding
    exports: Exports
    provider_tokens: ProviderTokens
    app_passwords: AppPasswords
    password_changes: PasswordChanges
    credential_rotations: CredentialRotations
    workspaces: Workspaces


def build_resources(
    settings: ApiSettings | WorkerSettings,
    *,
    key_service: KeyService | None = None,
    clock: Clock | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Resources:
    """The vault's parts; the arguments replace the outside world in tests."""
    clock = clock or SystemClock()
    keys = key_service or LocalKeyService(
        settings.key_service_socket, timeout_seconds=settings.key_service_timeout_seconds
    )
    cache = DataKeyCache(clock, lifetime=settings.data_key_lifetime)
    data_keys = DataKeys(
        keys, cache, environment=settings.environment, clock=clock, random_bytes=random_bytes
    )
    store = SecretStore(data_keys, environment=settings.environment, clock=clock, random_bytes=random_bytes)
    limits = ReadLimits(clock, _per_hour(settings))
    return Resources(
        key_service=keys,
        cache=cache,
        mailboxes=Mailboxes(store, limits, clock),
        servers=Servers(store, clock, random_bytes),
        webmail=Webmail(store, clock, random_bytes),
        webmail_ending=WebmailEnding(clock),
        exports=Exports(store, limits, clock, random_bytes),
        provider_tokens=ProviderTokens(store, clock),
        app_passwords=AppPasswords(store, limits, clock),
        password_changes=PasswordChanges(store, _policy(settings)),
        credential_rotations=CredentialRotations(clock),
        workspaces=Workspaces(cache, clock),
    )


def _policy(settings: ApiSettings | WorkerSettings) -> PasswordPolicy:
    file = settings.breached_passwords_file if isinstance(settings, ApiSettings) else None
    return PasswordPolicy(BreachedPasswords(file) if file else None)


def _per_hour(settings: ApiSettings | WorkerSettings) -> dict[Kind, int]:
    """The worker shows nothing to anybody."""
    if not isinstance(settings, ApiSettings):
        return {}
    return {
        "reveal": settings.reveals_per_hour,
        "export": settings.exports_per_hour,
        "app_password": settings.app_passwords_per_hour,
    }


def build_rotation(
    settings: ApiSettings | WorkerSettings,
    database: Database,
    *,
    clock: Clock | None = None,
    batch: int = BATCH,
) -> Rotation:
    """What rotates keys, with `database` as the worker's role, which sees every scope."""
    return Rotation(
        database,
        LocalKeyService(settings.key_service_socket, timeout_seconds=settings.key_service_timeout_seconds),
        environment=settings.environment,
        clock=clock or SystemClock(),
        batch=batch,
    )


async def _resources(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(_resources)]
