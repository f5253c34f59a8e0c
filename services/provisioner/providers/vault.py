"""The vault, by its two internal calls."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import SecretBytes, ValidationError

from services.provisioner.ports import VaultUnavailable, WebmailKey
from shared.contracts.vault_api import (
    MailboxSecretRequest,
    MailboxSecretResponse,
    WebmailKeyRequest,
    WebmailKeyResponse,
)
from shared.errors import DomainError
from shared.http import InternalClient

Model = TypeVar("Model", MailboxSecretResponse, WebmailKeyResponse)


class Vault:
    """A `VaultPort`."""

    def __init__(self, client: InternalClient) -> None:
        self._client = client

    async def mailbox_verifiers(
        self, workspace_id: str, server_id: str, mailbox_id: str, address: str, display_name: str
    ) -> MailboxSecretResponse:
        request = MailboxSecretRequest(
            workspace_id=workspace_id, server_id=server_id, address=address, display_name=display_name
        )
        body = await self._put(f"/internal/mailboxes/{mailbox_id}", workspace_id, request.model_dump())
        return self._parse(MailboxSecretResponse, body)

    async def webmail_key(
        self, workspace_id: str, server_id: str, hostname: str, *, rekey: bool = False
    ) -> WebmailKey:
        request = WebmailKeyRequest(workspace_id=workspace_id, hostname=hostname, rekey=rekey)
        body = await self._put(
            f"/internal/servers/{server_id}/webmail-key", workspace_id, request.model_dump()
        )
        answer = self._parse(WebmailKeyResponse, body)
        return WebmailKey(version=answer.version, key=SecretBytes(answer.key.get_secret_value().encode()))

    async def _put(self, path: str, workspace_id: str, body: dict[str, Any]) -> Any:
        try:
            return await self._client.request("PUT", path, workspace_id=workspace_id, json=body)
        except DomainError as error:
            raise VaultUnavailable(f"{error.code}: {error.detail}") from error

    @staticmethod
    def _parse(kind: type[Model], body: Any) -> Model:
        try:
            return kind.model_validate(body)
        except ValidationError:
            raise VaultUnavailable("the answer has another shape") from None
