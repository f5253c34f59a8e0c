"""The vault, as far as a server's mailboxes and webmail need it."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel, SecretBytes

from shared.contracts.vault_api import MailboxSecretResponse


class WebmailKey(BaseModel):
    version: int
    key: SecretBytes


class VaultUnavailable(Exception):
    """The vault did not answer, or not usefully; asking again may help."""


class VaultPort(Protocol):
    async def mailbox_verifiers(
        self, workspace_id: str, server_id: str, mailbox_id: str, address: str, display_name: str
    ) -> MailboxSecretResponse:
        """The complete stored set and its version; what is wanted is made first. Raises `VaultUnavailable`."""
        ...

    async def webmail_key(
        self, workspace_id: str, server_id: str, hostname: str, *, rekey: bool = False
    ) -> WebmailKey:
        """The host's key; with `rekey` a new one, and the one before opens nothing more."""
        ...
