"""From a paid subscription to Ready, with and without trouble at the cloud."""

from __future__ import annotations

from tests.provisioner.stage import Stage


async def test_a_paid_server_becomes_ready(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    assert {kind: len(ids) for kind, ids in stage.owned().items()} == {
        "instance": 1, "ip": 2, "volume": 1, "security_group": 1,
    }  # fmt: skip
    assert (await stage.server(server.id)).ever_ready
