"""A self-test whose rows are made to fail on request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.provisioner.ports import TestRow

LAYERS = ("encryption", "authentication", "dns", "hardening", "compliance")


class MemorySelfTest:
    """One row of each layer passes, unless `<layer>.one` is in `broken`, or the layer in `dropped`; none does while the
    host does not say that it is `listening` on those ports. The row of compliance is the proof that port 25 is open
    outwards, unless `unproven`."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.listening: set[int] = set()
        self.dropped: set[str] = set()
        self.unproven = False
        self.runs = 0

    async def run(self, *, hostname: str, facts: Mapping[str, Any], **_: Any) -> list[TestRow]:
        self.runs += 1
        up = self.listening <= {one["port"] for one in facts["listeners"]}
        return [
            TestRow(
                id=self._id(layer),
                layer=layer,
                title=f"One of {layer}",
                ok=up and f"{layer}.one" not in self.broken,
            )
            for layer in LAYERS
            if layer not in self.dropped
        ]

    def _id(self, layer: str) -> str:
        proves = layer == "compliance" and not self.unproven
        return "egress_25_postfix" if proves else f"{layer}.one"
