"""The stack that examples are asked of: gateway and five services, with the sandbox's Stripe and a scanner's key.

The gateway knows the services' documents, and lets pass only what they declare.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stripe
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from sandbox.faults import Faults
from sandbox.serve import HttpServers
from sandbox.store import Store
from sandbox.stripe import Books, create_app
from sandbox.stripe.app import Keys
from sandbox.tls import Authority
from shared.ids import new_id
from tests.auth.test_secret_scanning import Scanner
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation.caller import Answer
from tests.isolation.stage import Person, Stage, stage
from tests.isolation.world import World

SECRET, RESTRICTED = "sk_test_examples", "rk_test_examples"


@dataclass(frozen=True)
class House:
    stage: Stage
    stripe: stripe.StripeClient
    """With the full key; the provisioner's API has the restricted one."""
    scanner: Scanner

    @property
    def world(self) -> World:
        return self.stage.world

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        return await self.stage.ask(
            method, path, {"Idempotency-Key": new_id("req"), "If-Match": "*", **(headers or {})}, body
        )

    async def succeed(self, method: str, path: str, body: Any = None, person: Person | None = None) -> Answer:
        answer = await self.ask(method, path, body, person.headers if person else None)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.body!r}"
        return answer


@asynccontextmanager
async def house(
    service_database: ServiceDatabases, trust: Trust, directory: Path, **fields: Any
) -> AsyncIterator[House]:
    """`fields` are settings of the gateway."""
    scanner = Scanner(ec.generate_private_key(ec.SECP256R1()))
    keys_file = directory / "scanners.json"
    keys_file.write_text(json.dumps(scanner.published()))
    async with payment_provider(directory) as (url, ca_file):
        different: dict[str, dict[str, Any]] = {
            "auth": {"secret_scanning_keys_file": keys_file},
            "provisioner": {"stripe_checkout_key": RESTRICTED, "stripe_url": url, "http_ca_file": ca_file},
        }
        async with stage(
            service_database, trust, directory, services=different, documented=True, **fields
        ) as made:
            client = stripe.StripeClient(
                SECRET, base_addresses={"api": url}, http_client=stripe.HTTPXClient(), max_network_retries=0
            )
            yield House(made, client, scanner)


@asynccontextmanager
async def payment_provider(directory: Path) -> AsyncIterator[tuple[str, Path]]:
    """URL and authority of the sandbox's Stripe."""
    authority = Authority(directory / "tls")
    pair = authority.issue("https", names=["localhost"], addresses=["127.0.0.1"])
    servers = HttpServers(directory, pair, grace_seconds=0)
    books = Books(Store(directory / "books.sqlite3"), time.time)
    keys = Keys(SecretStr(SECRET), SecretStr(RESTRICTED))
    url = servers.reserve("stripe")
    await servers.start("stripe", create_app(books, Faults(quiet=True), keys, public_url=url, now=time.time))
    # The SDK takes its authorities from this module-wide setting only.
    bundle, stripe.ca_bundle_path = stripe.ca_bundle_path, str(authority.ca_file)
    try:
        yield url, authority.ca_file
    finally:
        stripe.ca_bundle_path = bundle
        await servers.stop()
