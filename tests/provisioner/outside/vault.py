"""The vault in memory behind the provisioner's own port."""

from __future__ import annotations

from collections import Counter

from pydantic import SecretBytes

from services.provisioner.ports import VaultUnavailable, WebmailKey
from shared.contracts.vault_api import MailboxSecretResponse, Verifier

PHC = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"


class MemoryVault:
    """`change(mailbox)` is a new password, `versions` the set that opens each mailbox."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.versions: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.away = 0
        self.webmail_keys: Counter[str] = Counter()

    def change(self, mailbox_id: str, version: int, *others: int) -> None:
        self.versions[mailbox_id] = (version, (version, *others))

    async def mailbox_verifiers(
        self, workspace_id: str, server_id: str, mailbox_id: str, address: str, display_name: str
    ) -> MailboxSecretResponse:
        if self.away:
            self.away -= 1
            raise VaultUnavailable("away")
        self.made[mailbox_id] += 1
        version, stored = self.versions.get(mailbox_id, (1, (1,)))
        verifiers = tuple(Verifier(version=number, state="pending", hash=PHC) for number in stored)
        return MailboxSecretResponse(mailbox_id=mailbox_id, version=version, verifiers=verifiers)

    async def webmail_key(
        self, workspace_id: str, server_id: str, hostname: str, *, rekey: bool = False
    ) -> WebmailKey:
        if rekey or not self.webmail_keys[server_id]:
            self.webmail_keys[server_id] += 1
        return WebmailKey(version=self.webmail_keys[server_id], key=SecretBytes(b"k" * 43))
