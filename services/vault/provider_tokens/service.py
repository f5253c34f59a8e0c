"""Customers' credentials for their own providers: sealed at once, opened for the dns service only."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import audited
from services.vault.models import ProviderToken
from services.vault.provider_tokens import repository
from services.vault.provider_tokens.schemas import NewProviderToken, ProviderTokenView
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets import repository as secret_rows
from services.vault.secrets.service import SecretStore
from shared.audit import record
from shared.clock import Clock
from shared.contracts.vault_api import ProviderTokenResponse
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id

OWNER_KIND: Final = "provider_token"
FIELD = "token"


class ProviderTokens:
    def __init__(self, store: SecretStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def add(
        self, session: AsyncSession, actor: Identity, workspace_id: str, new: NewProviderToken
    ) -> ProviderTokenView:
        row = ProviderToken(
            id=new_id("ptk"),
            workspace_id=workspace_id,
            provider=new.provider,
            label=new.label,
            created_by=actor.subject,
            created_at=self._clock.now(),
        )
        session.add(row)
        await record(
            session, workspace_id=workspace_id, actor=actor, action="vault.provider_token.stored",
            target=row.id, outcome="ok", data={"provider": new.provider, "label": new.label},
        )  # fmt: skip
        await self._store.seal(
            session,
            SecretBytes(new.token.get_secret_value().encode()),
            workspace_id=workspace_id,
            owner_kind=OWNER_KIND,
            owner_id=row.id,
            field=FIELD,
            version=1,
            state="current",
        )
        return view(row)

    async def read(self, session: AsyncSession, actor: Identity, token_id: str) -> ProviderTokenResponse:
        """The token, after its audit row is written. Raises NotFound."""
        row = await repository.get(session, token_id)
        secret = await secret_rows.in_use(session, OWNER_KIND, token_id, FIELD)
        if row is None or secret is None:
            raise NotFound
        access = await audited.grant(
            session, actor, workspace_id=row.workspace_id, purpose="provider_token",
            action="vault.provider_token.read", target=token_id, owners=[token_id],
        )  # fmt: skip
        token = await self._store.open(access, secret)
        return ProviderTokenResponse.model_validate(
            {"provider": row.provider, "token": token.reveal().decode()}
        )


def view(row: ProviderToken) -> ProviderTokenView:
    return ProviderTokenView(
        id=row.id,
        provider="cloudflare",
        label=row.label,
        created_by=row.created_by,
        created_at=row.created_at,
    )
