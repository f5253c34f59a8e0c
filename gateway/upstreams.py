"""The five services as the gateway reaches them: for forwarding, and for its own questions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from gateway.connection import UpstreamError
from gateway.keys import keys_of
from gateway.pool import Pool, ServiceDown
from gateway.proxy import Proxy
from gateway.settings import GatewaySettings
from shared.http import InternalClient

SERVICES: Final = ("auth", "vault", "provisioner", "dns", "reputation")
MAX_DOCUMENT: Final = 4 * 1024 * 1024


class Upstreams:
    def __init__(self, settings: GatewaySettings) -> None:
        self.pools = {
            name: Pool(
                settings.services_dir / f"{name}.sock",
                limit=settings.connections_per_service,
                connect_seconds=settings.connect_seconds,
            )
            for name in SERVICES
        }
        self.proxies = {name: Proxy(name, pool, settings) for name, pool in self.pools.items()}
        self._silence = settings.first_byte_seconds
        self._auth = InternalClient(settings, "auth")

    async def document(self, service: str, path: str) -> Any:
        """JSON that a service shows to everybody. Raises ServiceDown."""
        pool = self.pools[service]
        connection = await pool.acquire()
        try:
            connection.start(
                b"GET " + path.encode() + b" HTTP/1.1\r\nhost: " + service.encode() + b"\r\n\r\n"
            )
            await connection.head(self._silence)
            body = bytearray()
            while piece := await connection.read(self._silence):
                body += piece
                if len(body) > MAX_DOCUMENT:
                    raise ServiceDown("the document is too large")
            if connection.status != 200:
                raise ServiceDown(f"{path} answered {connection.status}")
        except UpstreamError as error:
            raise ServiceDown(error.reason) from error
        finally:
            pool.release(connection)
        return json.loads(bytes(body))

    async def access_keys(self) -> Mapping[str, bytes]:
        """kid → PEM of auth's access-token keys."""
        return keys_of(await self.document("auth", "/v1/auth/jwks"))

    async def memberships(self) -> Any:
        return await self._auth.request("GET", "/internal/memberships")

    async def introspect(self, question: dict[str, Any]) -> Any:
        return await self._auth.request("POST", "/internal/introspect", json=question)

    async def aclose(self) -> None:
        for pool in self.pools.values():
            pool.close()
        await self._auth.aclose()
