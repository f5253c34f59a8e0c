"""What a provisioner would ask for."""

from __future__ import annotations

import base64
import hashlib

from shared.contracts.provisioner_events import Dkim, DomainDesired, ServerDnsDesired
from shared.ids import new_id

PLATFORM_ZONE = "mail-platform.net"
RSA_KEY = base64.b64encode(bytes(range(256)) + bytes(38)).decode()
ED25519_KEY = base64.b64encode(bytes(range(32))).decode()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def domain(name: str, **fields: object) -> DomainDesired:
    values: dict[str, object] = {
        "domain_id": new_id("dom"),
        "name": name,
        "dkim": (
            Dkim(selector="s2611r", algorithm="rsa", public_key=RSA_KEY),
            Dkim(selector="s2611e", algorithm="ed25519", public_key=ED25519_KEY),
        ),
        "mta_sts_id": "20261122T080000",
    }
    return DomainDesired.model_validate({**values, **fields})


def server(**fields: object) -> ServerDnsDesired:
    server_id = new_id("srv")
    values: dict[str, object] = {
        "workspace_id": new_id("ws"),
        "server_id": server_id,
        "generation": 1,
        "hostname": f"s{server_id[-8:]}.mx.{PLATFORM_ZONE}",
        "ipv4": "51.15.0.7",
        "ipv6": "2a03:4000:1::7",
        "tlsa_spki_sha256": (digest("current"), digest("next")),
    }
    return ServerDnsDesired.model_validate({**values, **fields})
