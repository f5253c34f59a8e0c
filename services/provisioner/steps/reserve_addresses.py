"""One IPv4 and one IPv6 are reserved before there is a server, so that a refused address costs no rebuild.

A refused address is held, not given back: the cloud would offer it again within seconds. After so many in a row no
other one is tried for hours; then one at a time. When too many are held, the one that was held longest is given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from ipaddress import ip_network
from typing import Any, Literal

from services.provisioner.models import Address, CloudResource
from services.provisioner.ports import CloudIp
from services.provisioner.reconciler.creation import Recipe, make
from services.provisioner.reconciler.outcomes import WAIT_OR_REFUND, Done, Fatal, Outcome, Wait
from services.provisioner.reconciler.work import Work, Write
from services.provisioner.steps.base import Step
from services.provisioner.steps.giving_back import release_refused
from shared.contracts.provisioner_events import AddressReserved
from shared.ids import new_id

FAMILIES: tuple[Literal[4, 6], ...] = (4, 6)


class ReserveAddresses(Step):
    name = "reserve_addresses"
    title = "Reserve addresses"
    condition = "AddressesReserved"
    needs = ("choose_place", "leave_zone")
    deadline = 120.0

    def satisfied(self, work: Work) -> bool:
        return super().satisfied(work) and all(work.candidate(family) for family in FAMILIES)

    async def run(self, work: Work) -> Outcome:
        for family in FAMILIES:
            if work.candidate(family) is None:
                return await self._reserve(work, family)
        return Done(
            f"{work.address(4)} and {work.address(6)}", {"ipv4": work.address(4), "ipv6": work.address(6)}
        )

    async def _reserve(self, work: Work, family: Literal[4, 6]) -> Outcome:
        mine = [row for row in work.known.addresses if row.family == family]
        here = {row.id for row in work.known.resources if row.zone == work.server.zone}
        refused = [row for row in mine if row.state == "burned" and row.resource_id in here]
        held = [row for row in refused if row.released_at is None]
        attempt, most = len(mine) + 1, work.settings.address_attempts
        if len(held) > work.settings.addresses_held:
            await release_refused(work, held[0])
            return Wait(0, "Released")
        if len(refused) >= most and (left := self._pause_left(work, refused[-1])) > 0:
            return await self._stop(work, refused, left)
        slot = f"v{family}-{attempt}"
        if refused and work.resource("ip", slot) is None:
            await self._tell(work, refused, "It is held, and another one reserved.")
        zone, cloud = work.server.zone, work.ports.cloud

        async def call(_: dict[str, Any], tags: Sequence[str]) -> CloudIp:
            return await cloud.reserve_ip(zone, family, tags)

        return await make(
            work,
            Recipe(
                kind="ip",
                slot=slot,
                request={"family": family},
                call=call,
                find=partial(cloud.list_ips, zone),
                identify=lambda ip: (ip.id, ip.tags),
                details=lambda ip: ip.model_dump(mode="json", exclude={"tags", "created_at"}),
                on_bound=partial(_address_of, family=family, attempt=attempt),
            ),
        )

    def _pause_left(self, work: Work, last: Address) -> float:
        """Seconds until another one is tried after the last refusal."""
        return work.settings.refused_pause_seconds - (work.now() - last.asked_at).total_seconds()

    async def _stop(self, work: Work, refused: Sequence[Address], seconds: float) -> Outcome:
        condition = work.condition(self.condition)
        if condition is None or condition.reason != "AddressesRefused":
            await self._tell(work, refused, "It is held, and no other is tried for now.")
        return Fatal(
            "AddressesRefused",
            f"{len(refused)} addresses in a row were on blacklists. We have stopped here, before a server "
            "was started. Later we try another one by ourselves.",
            WAIT_OR_REFUND,
            after=seconds,
            evidence={"refused": [refusal(row) for row in refused]},
        )

    async def _tell(self, work: Work, refused: Sequence[Address], what_now: str) -> None:
        """The step log says which lists refused which addresses, the newest one in words."""
        row = refused[-1]
        lists = ", ".join(sorted(str(item["blacklist"]) for item in row.listings))
        async with work.write() as write:
            write.log(
                "check_reputation",
                "retrying",
                attempt=row.attempt,
                error_class="listed",
                message=f"{row.address} is on {lists}. {what_now}",
                evidence={**refusal(row), "refused": [refusal(one) for one in refused]},
            )


def refusal(row: Address) -> dict[str, Any]:
    """A refused address and the lists that refused it, as evidence."""
    return {"address": row.address, "listings": row.listings}


def host_of(ip: CloudIp) -> str:
    """What mail will leave from: the IPv4, or the first host of the IPv6 prefix."""
    if ip.address is not None:
        return ip.address
    if ip.prefix is None:
        raise ValueError(f"{ip.id} has neither address nor prefix")
    return str(ip_network(ip.prefix)[1])


async def _address_of(
    write: Write, resource: CloudResource, ip: CloudIp, *, family: Literal[4, 6], attempt: int
) -> None:
    address = Address(
        id=new_id("adr"),
        workspace_id=resource.workspace_id,
        server_id=resource.server_id,
        resource_id=resource.id,
        family=family,
        attempt=attempt,
        address=host_of(ip),
        ipam_id=ip.ipam_id,
        state="checking",
        version=1,
        asked_at=write.now,
    )
    write.session.add(address)
    await ask_reputation(write, address)


async def ask_reputation(write: Write, address: Address) -> None:
    """Announces the address; whoever keeps reputations answers with `reputation.address.checked.v1`."""
    await write.held.emit(
        AddressReserved(
            workspace_id=address.workspace_id,
            server_id=address.server_id,
            address_id=address.id,
            address=address.address,
            family=6 if address.family == 6 else 4,
            attempt=address.attempt,
        ),
        subject=address.id,
        version=address.version,
    )
