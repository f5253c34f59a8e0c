"""One-time SSH host keys. A server is born with a key that we know, so that the first contact is no leap of faith.

The key is derived from a secret of the worker's and the server's id (HKDF, RFC 5869): each try, by whichever worker,
arrives at the same key, and no private key is ever stored. After the first contact the host makes its own. A machine
that follows another behind the same name has a key of its own: who has seen the first one's is no further.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr


class OneTimeKeys:
    """`secret` has at least 32 characters."""

    def __init__(self, secret: SecretStr) -> None:
        raw = secret.get_secret_value().strip().encode()
        if len(raw) < 32:
            raise ValueError("SC_HOST_KEY_SECRET needs at least 32 characters")
        self._secret = raw

    def private(self, server_id: str, incarnation: int = 1) -> Ed25519PrivateKey:
        info = server_id if incarnation == 1 else f"{server_id}/{incarnation}"
        seed = HKDF(hashes.SHA256(), 32, salt=b"sc.one-time-host-key.v1", info=info.encode()).derive(
            self._secret
        )
        return Ed25519PrivateKey.from_private_bytes(seed)

    def private_openssh(self, server_id: str, incarnation: int = 1) -> bytes:
        """For the server's user data, and nowhere else."""
        return self.private(server_id, incarnation).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )

    def public(self, server_id: str, incarnation: int = 1) -> str:
        """`ssh-ed25519 AAAA…`"""
        return (
            self.private(server_id, incarnation)
            .public_key()
            .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
            .decode()
        )
