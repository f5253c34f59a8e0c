"""Who may do what: a root token, and one whose policy is that of a client of one key."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.requests import Request

from sandbox.transit.errors import VaultError


@dataclass(frozen=True)
class Access:
    """`client` may seal and open with `key` and read its state, as the policy in the product's adapter says."""

    root: SecretStr
    client: SecretStr
    key: str = "sendchief"

    def check(self, request: Request, action: str, name: str) -> None:
        """Raises VaultError 403: for a missing token, an unknown one, and one that may not."""
        given = request.headers.get("x-vault-token", "")
        if not given:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            raise VaultError(403, "missing client token")
        if _same(given, self.root):
            return
        if _same(given, self.client) and name == self.key and action in ("keys.read", "encrypt", "decrypt"):
            return
        raise VaultError(403, "permission denied")


def _same(given: str, token: SecretStr) -> bool:
    return hmac.compare_digest(given.encode(), token.get_secret_value().encode())
