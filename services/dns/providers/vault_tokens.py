"""Tokens of customers' zones, from the vault, one call at a time and never kept."""

from __future__ import annotations

from pydantic import SecretStr

from services.dns.ports import TokenUnknown
from shared.contracts.vault_api import ProviderTokenResponse
from shared.errors import Forbidden, NotFound
from shared.http.client import InternalClient


class VaultTokens:
    """`ProviderTokens` over the vault's internal call."""

    def __init__(self, client: InternalClient) -> None:
        self._client = client

    async def token(self, workspace_id: str, token_id: str) -> SecretStr:
        try:
            answer = await self._client.request(
                "GET",
                f"/internal/provider-tokens/{token_id}",
                workspace_id=workspace_id,
                params={"workspace_id": workspace_id},
            )
        except (NotFound, Forbidden) as error:
            raise TokenUnknown("The provider token is not there any more.") from error
        return ProviderTokenResponse.model_validate(answer).token

    async def aclose(self) -> None:
        await self._client.aclose()
