"""The gate before plaintext: an audit row first, in the same transaction.

`SecretStore.open` takes an `AuditedAccess`, and `grant` below is the only maker of one, so that code which
decrypts without a row does not type-check and does not run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit import record
from shared.identity import Identity

Purpose = Literal["reveal", "export", "webmail_sign", "webmail_key", "provider_token"]

_MADE_HERE = object()


@dataclass(frozen=True, eq=False)
class AuditedAccess:
    """Leave to decrypt secrets of these owners, for this purpose, in this transaction."""

    session: AsyncSession
    workspace_id: str
    purpose: Purpose
    owners: frozenset[str]
    made_by: object

    def __post_init__(self) -> None:
        if self.made_by is not _MADE_HERE:
            raise PermissionError("access is granted by audited.grant, which writes the audit row")

    def check(self, workspace_id: str, owner_id: str) -> None:
        """Raises PermissionError for a secret that the audit row does not cover."""
        if workspace_id != self.workspace_id:
            raise PermissionError("the audit row is of another workspace")
        self.check_owners((owner_id,))

    def check_owners(self, owner_ids: Iterable[str]) -> None:
        """For who opens secrets of its workspace only."""
        if not self.owners.issuperset(owner_ids):
            raise PermissionError("the audit row does not cover this secret")


async def grant(
    session: AsyncSession,
    actor: Identity,
    *,
    workspace_id: str,
    purpose: Purpose,
    action: str,
    target: str,
    owners: Collection[str],
    reason: str | None = None,
    data: dict[str, Any] | None = None,
) -> AuditedAccess:
    """Writes the audit row, outcome "ok", and gives leave for exactly what it covers."""
    await record(
        session, workspace_id=workspace_id, actor=actor, action=action, target=target, outcome="ok",
        reason=reason, data=data or {},
    )  # fmt: skip
    return AuditedAccess(session, workspace_id, purpose, frozenset(owners), _MADE_HERE)
