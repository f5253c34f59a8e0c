"""The control plane's SSH authority: certificates for one host, one purpose, a few minutes.

No standing key opens a host. Each connection uses a fresh key that lives in this process's memory only.
"""

from __future__ import annotations

from datetime import timedelta

import asyncssh
from pydantic import SecretStr

from services.provisioner.hosts.cloud_init import principal_of
from shared.clock import Clock

LIFETIME = timedelta(minutes=3)
SKEW = timedelta(seconds=60)


class SshAuthority:
    """Signs user certificates with the authority's Ed25519 key (OpenSSH private key format)."""

    def __init__(self, private_key: SecretStr, clock: Clock) -> None:
        self._key = asyncssh.import_private_key(private_key.get_secret_value())
        if self._key.get_algorithm() != "ssh-ed25519":
            raise ValueError("the SSH authority's key has to be Ed25519")
        self._clock = clock

    @staticmethod
    def generate() -> SecretStr:
        """A new authority's private key."""
        return SecretStr(asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode())

    @property
    def public_key(self) -> str:
        """`ssh-ed25519 AAAA…`, as hosts hold it in TrustedUserCAKeys."""
        return " ".join(self._key.export_public_key().decode().split()[:2])

    def issue(self, server_id: str, purpose: str) -> tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]:
        """A key and its certificate for one server. `purpose` is written to the host's log as the key id."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        now = self._clock.now()
        certificate = self._key.generate_user_certificate(
            key.convert_to_public(),
            f"provisioner:{purpose}",
            principals=[principal_of(server_id)],
            valid_after=int((now - SKEW).timestamp()),
            valid_before=int((now + LIFETIME).timestamp()),
            permit_x11_forwarding=False,
            permit_agent_forwarding=False,
            permit_port_forwarding=False,
            permit_pty=False,
            permit_user_rc=False,
        )
        return key, certificate
