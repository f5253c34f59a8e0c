"""Shapes of the vault's internal calls."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, SecretStr, StringConstraints


class MailboxSecretRequest(BaseModel):
    """PUT /internal/mailboxes/{mailbox_id}: makes the passwords that are wanted and not made yet; idempotent.

    `display_name` goes into exports; null leaves the stored one as it is.
    """

    model_config = ConfigDict(extra="forbid")

    workspace_id: str
    server_id: str
    address: str
    display_name: Annotated[str, StringConstraints(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = (
        None
    )


class Verifier(BaseModel):
    """A stored password verifier: what a host may know. `hash` is a PHC string, `$argon2id$v=19$…`.

    `version` names it among those of its mailbox. `selector` is what an app password begins with, so that a host
    tries the one verifier that may fit; null for the mailbox's own password.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    state: Literal["pending", "current"]
    scheme: Literal["ARGON2ID"] = "ARGON2ID"
    hash: str
    selector: str | None = None


class MailboxSecretResponse(BaseModel):
    """All that may sign in once the host has applied this, and nothing else. `version` is that of the set: it is what
    `provisioner.mailbox.credential_applied.v1` says when the host accepts it."""

    model_config = ConfigDict(extra="ignore")

    mailbox_id: str
    version: int
    verifiers: tuple[Verifier, ...]


class WebmailKeyRequest(BaseModel):
    """PUT /internal/servers/{server_id}/webmail-key: `rekey` makes a new one (rebuild)."""

    model_config = ConfigDict(extra="forbid")

    workspace_id: str
    hostname: str
    rekey: bool = False


class WebmailKeyResponse(BaseModel):
    """`key` is 32 bytes, base64url without padding: the host's HMAC-SHA256 key for sign-in tokens."""

    version: int
    key: SecretStr


class ProviderTokenResponse(BaseModel):
    """GET /internal/provider-tokens/{token_id}?workspace_id=…"""

    provider: Literal["cloudflare"]
    token: SecretStr
