"""Plan limits, when many ask at once."""

from __future__ import annotations

import asyncio
from collections import Counter

from services.provisioner.models import Mailbox
from services.provisioner.plans import Catalogue
from services.provisioner.settings import PLANS_FILE
from shared.ids import new_id
from tests.provisioner.api import Api
from tests.provisioner.domains.test_domains import NAME, proven, settled

STARTER = Catalogue.load(PLANS_FILE).plan("starter")


async def test_of_many_domains_at_once_as_many_as_the_plan_allows_are_added(api: Api) -> None:
    server_id = await api.ready_server()
    names = [f"example-{letter}.test" for letter in "abcdefghij"]
    for name in names:
        await proven(api, name)
    replies = await asyncio.gather(
        *(api.post(f"{api.path}/domains", {"server_id": server_id, "name": name}) for name in names)
    )
    assert Counter(reply.status_code for reply in replies) == {
        202: STARTER.domains,
        409: 10 - STARTER.domains,
    }
    assert {reply.json()["code"] for reply in replies if reply.status_code == 409} == {"plan_limit"}


async def test_of_many_mailboxes_at_once_as_many_as_the_plan_allows_are_added(api: Api) -> None:
    server_id, domain_id = await settled(api)
    room = 3
    async with api.stage.database.transaction() as session:
        for n in range(STARTER.mailboxes - room):
            session.add(
                Mailbox(
                    id=new_id("mbx"), workspace_id=api.workspace_id, server_id=server_id, domain_id=domain_id,
                    address=f"old{n}@{NAME}", local_part=f"old{n}", display_name="", state="active", generation=1,
                )
            )  # fmt: skip
    path = f"{api.path}/domains/{domain_id}/mailboxes"
    replies = await asyncio.gather(*(api.post(path, {"local_part": f"box{n}"}) for n in range(9)))
    assert Counter(reply.status_code for reply in replies) == {202: room, 409: 9 - room}
    assert {reply.json()["code"] for reply in replies if reply.status_code == 409} == {"plan_limit"}


async def test_of_many_that_add_the_same_mailbox_one_does(api: Api) -> None:
    _, domain_id = await settled(api)
    path = f"{api.path}/domains/{domain_id}/mailboxes"
    replies = await asyncio.gather(*(api.post(path, {"local_part": "ada"}) for _ in range(6)))
    assert Counter(reply.status_code for reply in replies) == {202: 1, 409: 5}
    assert {reply.json()["code"] for reply in replies if reply.status_code == 409} == {"mailbox_exists"}
