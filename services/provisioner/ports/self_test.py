"""The probe from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from services.provisioner.hosts.port import HostAddress


class TestRow(BaseModel):
    """One proof about a server. `layer` is one of the five of the public security page."""

    model_config = ConfigDict(extra="allow")
    __test__ = False

    id: str
    layer: str
    title: str = ""
    ok: bool
    evidence: Any = None


class SelfTestPort(Protocol):
    async def run(
        self,
        *,
        server_id: str,
        hostname: str,
        ipv4: str,
        ipv6: str,
        host: HostAddress,
        facts: Mapping[str, Any],
    ) -> list[TestRow]:
        """Probes the server from outside, and by its own probes over SSH. Raises `HostError` when SSH fails."""
        ...
