"""The key of webmail sign-ins that the vault and one host share: derived from a stored seed, bound to that host.

HKDF with SHA-256 (RFC 5869). Its `info` names the workspace, the server and the host name, so a seed that is put to
another server's row, or a host that gets another name, has another key.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import associated_data
from services.vault.models import Secret
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets import repository

OWNER_KIND: Final = "server"
SEED = "webmail_seed"
KEY = "webmail_key"
"""What the release before stored: the key itself. Such a host goes on with it until it is keyed anew."""
KEY_BYTES = 32


async def stored(session: AsyncSession, server_id: str) -> Secret | None:
    """What the host's key is made of."""
    seed = await repository.in_use(session, OWNER_KIND, server_id, SEED)
    return seed or await repository.in_use(session, OWNER_KIND, server_id, KEY)


def host_key(secret: Secret, plaintext: SecretBytes, hostname: str) -> SecretBytes:
    """`plaintext` is that of `secret`."""
    if secret.field == KEY:
        return plaintext
    info = associated_data.encode("sc.webmail.v1", secret.workspace_id, secret.owner_id, hostname)
    derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(plaintext.reveal())
    plaintext.wipe()
    return SecretBytes(derived)
