"""Sealing and opening. Nothing else in the vault calls the codec."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import envelope, metrics
from services.vault.aead import scheduled
from services.vault.audited import AuditedAccess
from services.vault.data_keys.service import DataKeys
from services.vault.models import Secret
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets import repository
from shared.clock import Clock
from shared.ids import new_id

OwnerKind = Literal["mailbox", "server", "provider_token"]
Sealed = tuple[str, int, bytes]
"""What tells secrets of one kind apart: the owner's id and the version; and the ciphertext."""


@dataclass(frozen=True)
class Opener:
    """Opens secrets of one kind that an audit row covers, with data keys taken before that row was committed.

    It outlives the transaction, so that an export decrypts only what is on record for good. Workspace, kind and field
    are those that were asked for, whatever a row says of itself: another's does not open.
    """

    access: AuditedAccess
    data_keys: dict[int, AESGCM] = field(repr=False)
    kind: envelope.Kind
    decrypted: Counter

    def open(self, secrets: Sequence[Sealed]) -> list[SecretBytes]:
        """The plaintexts. Raises NotAuthentic when a row is not what was sealed."""
        self.access.check_owners(owner_id for owner_id, _, _ in secrets)
        keys, data = self.data_keys, self.kind.data
        opened = [
            envelope.open_with(keys, ciphertext, data(owner_id, version))
            for owner_id, version, ciphertext in secrets
        ]
        self.decrypted.inc(len(opened))
        return opened


class SecretStore:
    def __init__(
        self,
        data_keys: DataKeys,
        *,
        environment: str,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._data_keys = data_keys
        self._environment = environment
        self._clock = clock
        self._random = random_bytes

    async def seal(
        self,
        session: AsyncSession,
        plaintext: SecretBytes,
        *,
        workspace_id: str,
        owner_kind: OwnerKind,
        owner_id: str,
        field: str,
        version: int,
        state: Literal["pending", "current"],
        server_id: str | None = None,
        verifier: str | None = None,
    ) -> Secret:
        """Adds one version of a secret under the workspace's active data key."""
        secret = Secret(
            id=new_id("sec"),
            workspace_id=workspace_id,
            server_id=server_id,
            owner_kind=owner_kind,
            owner_id=owner_id,
            field=field,
            version=version,
            state=state,
            verifier=verifier,
            created_at=self._clock.now(),
        )
        key = await self._data_keys.for_encryption(session, workspace_id)
        secret.ciphertext = envelope.encrypt(
            plaintext,
            data_key=key.key,
            data_key_version=key.version,
            binding=binding_of(secret, self._environment),
            random_bytes=self._random,
        )
        secret.data_key_version = key.version
        secret.wrap_nonce = envelope.wrap_nonce(secret.ciphertext)
        session.add(secret)
        await session.flush()
        return secret

    async def opener(
        self, access: AuditedAccess, owner_kind: str, field: str, ciphertexts: Collection[bytes]
    ) -> Opener:
        """Fetches the data keys of `ciphertexts` and counts their decryptions, in the transaction of the audit row."""
        versions = set(map(envelope.data_key_version, ciphertexts))
        keys = {version: await self._scheduled(access, version) for version in sorted(versions)}
        await repository.count_decrypts(
            access.session, access.workspace_id, access.purpose, len(ciphertexts), self._clock.now()
        )
        decrypted = metrics.DECRYPTED.labels(access.purpose)
        kind = envelope.Kind(self._environment, access.workspace_id, owner_kind, field)
        return Opener(access, keys, kind, decrypted)

    async def _scheduled(self, access: AuditedAccess, version: int) -> AESGCM:
        key = await self._data_keys.for_decryption(access.session, access.workspace_id, version)
        made = scheduled(key.reveal())
        key.wipe()
        return made

    async def open(self, access: AuditedAccess, secret: Secret) -> SecretBytes:
        """One secret. Raises PermissionError when the audit row does not cover it."""
        access.check(secret.workspace_id, secret.owner_id)
        opener = await self.opener(access, secret.owner_kind, secret.field, [secret.ciphertext])
        return opener.open([(secret.owner_id, secret.version, secret.ciphertext)])[0]


def binding_of(secret: Secret, environment: str) -> envelope.Binding:
    return envelope.Binding(
        environment=environment,
        scope=secret.workspace_id,
        owner_kind=secret.owner_kind,
        owner_id=secret.owner_id,
        field=secret.field,
        version=secret.version,
    )
