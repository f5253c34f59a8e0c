"""What nginx asks by `auth_request`: the gateway's own decision (token, route, role, permission), as 204 or 403."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from starlette.types import Receive, Scope, Send

from bench.gateway.peers.serve import arguments, serve
from gateway.authenticate import AccessTokens
from gateway.authority import Authority, Snapshot
from gateway.authorize import decide
from gateway.head import bearer
from gateway.keys import keys_of
from gateway.mint import Minter
from gateway.routes import Match, RouteTable
from gateway.settings import GatewaySettings
from shared.identity import TokenSigner


class Authorizer:
    def __init__(self, settings: GatewaySettings, directory: Path) -> None:
        self._directory = directory
        self._table = RouteTable.load(settings.permissions_file)
        assert settings.identity_key_file is not None
        key = settings.identity_key_file.read_bytes()
        self._minter = Minter(TokenSigner.from_pem(key, "gateway"), self._table)
        self._tokens = AccessTokens(settings.public_url, self._keys)
        self._authority = Authority(silence_seconds=3600)
        self._authority.load(Snapshot.parse(json.loads((directory / "memberships.json").read_text())))

    async def _keys(self) -> Mapping[str, bytes]:
        return keys_of(json.loads((self._directory / "jwks.json").read_text()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for moment in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{moment}.complete"})
            return
        token = await self._decided(dict(scope["headers"]))
        headers = [(b"x-sc-identity", token)] if token else []
        await send({"type": "http.response.start", "status": 204 if token else 403, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _decided(self, headers: dict[bytes, bytes]) -> bytes | None:
        path = headers[b"x-original-uri"].partition(b"?")[0]
        match = self._table.match(headers[b"x-original-method"].decode(), path)
        credential = bearer(headers.get(b"authorization"))
        if not isinstance(match, Match) or credential is None:
            return None
        principal = await self._tokens.principal(credential)
        if principal is None:
            return None
        workspace_id = match.params.get("workspace_id")
        role = self._authority.role(principal.account_id, workspace_id) if workspace_id else None
        if decide(match.route, principal, workspace_id, role, int(time.time())).refusal is not None:
            return None
        return self._minter.token(match.route, principal, workspace_id, role, None)


if __name__ == "__main__":
    chosen = arguments(__doc__)
    serve(Authorizer(GatewaySettings(), Path(chosen.directory)), chosen)
