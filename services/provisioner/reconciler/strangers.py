"""Machines that carry our server's tag and that its books do not know: the database is older than they are.

After a restore from backup, or a failover that lost the last seconds, a paid subscription may have no row of the
machine that runs for it. Another one is not made beside it: the server is held until an operator has adopted what is
there (ADR 17). Its id, and with it the tag, follows from the subscription's.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.provisioner.ports import CloudInstance
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.outcomes import Fatal
from services.provisioner.reconciler.work import Work

MADE_BEFORE = "MadeBefore"
"""The reason of a held server's condition. The sweeper leaves alone what carries the tag of one."""
LOOK_SECONDS = 60.0


async def made_before(work: Work) -> Fatal | None:
    """To be asked before anything is made for a server: looks in every zone in which it may stand."""
    for zone in work.ports.catalogue.places(work.known.subscription.zone):
        found = await work.ports.cloud.list_instances(zone, tags.server(work.server.id))
        if (held := hold(work, found)) is not None:
            return held
    return None


def hold(work: Work, listed: Iterable[CloudInstance]) -> Fatal | None:
    """Fatal when one of these is this server's, and was made under a row that is not in its books."""
    known = {row.id for row in work.known.resources}
    unknown = [
        one
        for one in listed
        if tags.server(work.server.id) in one.tags and tags.value(one.tags, "sc-res") not in known
    ]
    if not unknown:
        return None
    return Fatal(
        MADE_BEFORE,
        "The data centre has a server of this subscription that our books have lost. No other one is made beside it. "
        "Our operators have to look.",
        f"adopt {work.server.id}: see docs/runbooks/restore.md",
        after=LOOK_SECONDS,
        evidence={
            "machines": [
                {"instance": one.id, "name": one.name, "state": one.state, "created_at": str(one.created_at)}
                for one in unknown
            ]
        },
    )
