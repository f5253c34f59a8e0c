"""pebble on the ACME address, both families, asking the sandbox's resolver when it validates a name.

Its API's certificate is signed by the sandbox's authority and lives on; the issuing root is made anew at each start
and nothing is kept: after a restart accounts are unknown and every server has to be issued again.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from asyncio.subprocess import Process
from pathlib import Path

import httpx

from sandbox.daemon import until_ready
from sandbox.dns import Resolver, Tree
from sandbox.net.addresses import ACME
from sandbox.net.namespace import Namespace
from sandbox.tls import Authority

HOST = "acme.sandbox.test"
PORT = 14000
MANAGEMENT_PORT = 15000
DAY = 86_400


class AcmeServer:
    """One pebble. `nonce_reject_percent` of all requests get badNonce at first (RFC 8555 section 6.5)."""

    def __init__(
        self,
        namespace: Namespace,
        directory: Path,
        log: Path,
        *,
        authority: Authority,
        validity_seconds: int = 90 * DAY,
        nonce_reject_percent: int = 5,
    ) -> None:
        self._namespace = namespace
        self._directory = directory
        self._log = log
        self._authority = authority
        self._validity = validity_seconds
        self._nonce_reject = nonce_reject_percent
        self.address_v4 = namespace.addresses.v4_of(ACME)
        self.address_v6 = namespace.addresses.v6_of(ACME)
        self.directory_url = f"https://{HOST}:{PORT}/dir"
        self.ca_file = authority.ca_file
        self.root_file = directory / "root.pem"

    async def start(self, tree: Tree, resolver: Resolver) -> Process:
        """Publish the name, start pebble, fetch its root into ``root_file``."""
        self._directory.mkdir(parents=True, exist_ok=True)
        await tree.set_records(HOST, "A", [str(self.address_v4)])
        await tree.set_records(HOST, "AAAA", [str(self.address_v6)])
        config = self._directory / "pebble.json"
        config.write_text(json.dumps(self._config(), indent=1))
        process = await self._namespace.spawn(
            ["pebble", "-config", str(config), "-strict=false", f"-dnsserver={resolver.address_v4}:53"],
            log=self._log,
            cgroup="pebble",
            env={
                "PEBBLE_VA_NOSLEEP": "1",
                "PEBBLE_WFE_NONCEREJECT": str(self._nonce_reject),
                # pebble would ask a proxy of the environment for the validation URL
                "NO_PROXY": "*",
            },
        )
        await until_ready("pebble", process, self._log, self._answers)
        self.root_file.write_text(await self.roots())
        return process

    async def stop(self) -> None:
        """End the daemon: its root, accounts and orders are gone."""
        await self._namespace.stop("pebble")

    async def roots(self) -> str:
        """The PEM of the root under which pebble issues since its start."""
        return (await self._get(f"https://{self.address_v4}:{MANAGEMENT_PORT}/roots/0")).text

    async def _get(self, url: str) -> httpx.Response:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        async with httpx.AsyncClient(verify=trust, timeout=2.0, trust_env=False) as client:
            response = await client.get(url)
            response.raise_for_status()
            return response

    async def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            await self._get(f"https://{self.address_v4}:{PORT}/dir")
            await self.roots()
            return True
        return False

    def _config(self) -> dict[str, object]:
        pair = self._authority.issue(
            "acme", names=[HOST], addresses=[str(self.address_v4), str(self.address_v6)]
        )
        return {
            "pebble": {
                # One listener only: the wildcard takes both families, and nothing else in the namespace uses the port.
                "listenAddress": f":{PORT}",
                "managementListenAddress": f"{self.address_v4}:{MANAGEMENT_PORT}",
                "certificate": str(pair.certificate),
                "privateKey": str(pair.key),
                "httpPort": 80,
                "tlsPort": 443,
                "ocspResponderURL": "",
                "externalAccountBindingRequired": False,
                "certificateValidityPeriod": self._validity,
            }
        }
