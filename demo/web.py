"""A browser's view of the customers' hosts: names from the sandbox's resolver, certificates really verified."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import dns.resolver
import httpx


@dataclass(frozen=True)
class Page:
    status: int
    headers: dict[str, str]
    text: str


class Browser:
    """Keeps cookies between requests. `root_pem` is the ACME root of the hosts' certificates."""

    def __init__(self, resolver: str, root_pem: str) -> None:
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [resolver]
        self._client = httpx.AsyncClient(verify=ssl.create_default_context(cadata=root_pem), timeout=20)

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, method: str, url: str, form: dict[str, str] | None = None) -> Page:
        """One request, no redirect followed."""
        wanted = httpx.URL(url)
        address = self._resolver.resolve(wanted.host, "A")[0].to_text()
        # Connect to the looked-up address, but ask for, and verify, the name.
        answer = await self._client.request(
            method,
            wanted.copy_with(host=address),
            data=form,
            headers={"Host": wanted.host},
            extensions={"sni_hostname": wanted.host},
        )
        return Page(answer.status_code, dict(answer.headers), answer.text)
