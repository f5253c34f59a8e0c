"""The rows of an adopted machine, and what is looked at in the books before they are written."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.adoption.machine import Machine, NotAdoptable, Part
from services.provisioner.adoption.trust import Trust
from services.provisioner.hosts.desired import DkimFacts, HostFacts
from services.provisioner.models import Address, CloudResource, Condition, Domain, Mailbox, ProvenZone, Server
from services.provisioner.ports import CloudIp
from services.provisioner.reconciler.record import STALLED
from services.provisioner.reconciler.store import Known, Write
from services.provisioner.steps.reserve_addresses import ask_reputation, host_of
from shared.contracts.provisioner_events import AddressReleased
from shared.ids import new_id

_LABEL = re.compile(r"s[0-9a-f]{8}")


async def check(
    session: AsyncSession, known: Known, machine: Machine, trust: Trust, platform_zone: str
) -> None:
    """Raises NotAdoptable when another row owns any of it, or what lives on the host has no place here."""
    server, name = known.server, machine.instance.name
    label, _, rest = name.partition(".")
    if not _LABEL.fullmatch(label) or rest != f"mx.{platform_zone}":
        raise NotAdoptable(f"{name!r} is no name that we give to servers.")
    other = await session.scalar(select(Server.id).where(Server.hostname == name, Server.id != server.id))
    if other is not None:
        raise NotAdoptable(f"{name} is the name of {other}.")
    things = [(part.kind, part.external_id) for part in machine.parts]
    row_ids = [part.row_id for part in machine.parts if part.row_id]
    owned = await session.scalar(
        select(CloudResource).where(
            CloudResource.server_id != server.id,
            or_(
                tuple_(CloudResource.kind, CloudResource.external_id).in_(things),
                CloudResource.id.in_(row_ids),
            ),
        )
    )
    if owned is not None:
        raise NotAdoptable(f"{owned.kind} {owned.external_id} is on the books of {owned.server_id}.")
    if trust.facts is not None:
        await _check_mail(session, known, trust.facts)


async def _check_mail(session: AsyncSession, known: Known, facts: HostFacts) -> None:
    """Without its domains and mailboxes in the books the host would be told to drop them."""
    for name in sorted(domains_of(facts)):
        if await _zone(session, known.server.workspace_id, name) is None:
            raise NotAdoptable(
                f"{name} is on the host, and this database does not know its zone as proven.",
                "Have dns tell it again (restore dns too, or have the customer prove it), then adopt.",
            )
        row = await session.scalar(select(Domain).where(Domain.name == name))
        if row is not None and row.server_id != known.server.id:
            raise NotAdoptable(f"{name} is on the host, and on the books of {row.server_id}.")
    for box in facts.mailboxes:
        held = await session.scalar(
            select(Mailbox).where(or_(Mailbox.id == box.mailbox_id, Mailbox.address == box.address))
        )
        if held is not None and held.server_id != known.server.id:
            raise NotAdoptable(f"{box.address} is on the host, and on the books of {held.server_id}.")
        if box.address.rpartition("@")[2] not in domains_of(facts):
            raise NotAdoptable(f"The host shows no signing keys of {box.address}'s domain.")


def domains_of(facts: HostFacts) -> dict[str, tuple[DkimFacts, ...]]:
    """Domain → its signing keys; the host's own name is none."""
    names = {key.domain for key in facts.dkim} - {facts.hostname}
    return {name: facts.dkim_of(name) for name in names}


async def _zone(session: AsyncSession, workspace_id: str, name: str) -> ProvenZone | None:
    return await session.scalar(
        select(ProvenZone).where(
            ProvenZone.name == name, ProvenZone.workspace_id == workspace_id, ProvenZone.proven
        )
    )


def onward(number: int, now: datetime) -> int:
    """A number that nobody has heard before. How far it had come is forgotten, and others refuse what is older than
    what they have seen: so it goes on from the seconds of the clock, which no count of changes ever reaches."""
    return max(number + 1, int(now.timestamp()))


async def write_down(
    write: Write, session: AsyncSession, known: Known, machine: Machine, trust: Trust
) -> None:
    """All rows of the machine; what else the server had in its books is the sweeper's. `check` has come before."""
    await _let_go(write, session, known, machine)
    booked = {row.id: row for row in known.resources}
    for part in machine.parts:
        if part.row_id is None or part.row_id not in booked:
            session.add(_resource(write, machine, part))
    await session.flush()
    held = {row.resource_id: row for row in known.addresses}
    for ip in machine.ips:
        row_id = str(machine.part(ip.id).row_id)
        if row_id in held:
            held[row_id].state = "live"
        else:
            await _address(write, session, known, ip, row_id)
    _server(write, known, machine, trust)
    await _conditions(write, session, known, trust)
    if trust.facts is not None:
        await _mail(write, session, trust.facts)


async def _let_go(write: Write, session: AsyncSession, known: Known, machine: Machine) -> None:
    """What was made beside the machine is nobody's from here on."""
    kept = {part.row_id for part in machine.parts}
    for row in known.resources:
        if row.state == "gone" or row.id in kept:
            continue
        row.state = "leaked"
        address = next((one for one in known.addresses if one.resource_id == row.id), None)
        if address is not None and address.released_at is None:
            address.state, address.released_at = "released", write.now
            address.version += 1
            event = AddressReleased(
                workspace_id=address.workspace_id, server_id=address.server_id, address_id=address.id,
                address=address.address,
            )  # fmt: skip
            await write.held.emit(event, subject=address.id, version=address.version)
    await session.flush()


def _resource(write: Write, machine: Machine, part: Part) -> CloudResource:
    """As it was when it was made, as far as the cloud shows it."""
    instance = machine.instance
    ips = {one.id: one for one in machine.ips}
    slot = "main"
    request: dict[str, Any] = {}
    details: dict[str, Any] = {}
    match part.kind:
        case "ip":
            ip = ips[part.external_id]
            slot, request = f"v{ip.family}-adopted", {"family": ip.family}
            details = ip.model_dump(mode="json", exclude={"tags", "created_at"})
        case "security_group":
            request, details = {"name": machine.group.name}, {"name": machine.group.name}
        case "volume":
            slot, details = f"disk-{part.external_id}", {"tagged": part.row_id is not None}
        case _:
            request = {
                "name": instance.name,
                "commercial_type": instance.commercial_type,
                "image": "",
                "ip_ids": list(instance.ip_ids),
                "security_group_id": machine.group.id,
            }
            details = {"volume_ids": list(instance.volume_ids)}
    return CloudResource(
        id=part.row_id or new_id("res"),
        workspace_id=write.server.workspace_id,
        server_id=write.server.id,
        kind=part.kind,
        slot=slot,
        zone=machine.zone,
        attempt=part.attempt,
        request=request,
        state="bound",
        external_id=part.external_id,
        details=details,
        intent_at=write.now,
        bound_at=write.now,
    )


async def _address(write: Write, session: AsyncSession, known: Known, ip: CloudIp, row_id: str) -> None:
    """In use, so that a blacklist's verdict does not take it away; watched from now on."""
    row = Address(
        id=new_id("adr"),
        workspace_id=write.server.workspace_id,
        server_id=write.server.id,
        resource_id=row_id,
        family=ip.family,
        attempt=1 + sum(one.family == ip.family for one in known.addresses),
        address=host_of(ip),
        ipam_id=ip.ipam_id,
        state="live",
        version=1,
        asked_at=write.now,
    )
    session.add(row)
    await ask_reputation(write, row)


def _server(write: Write, known: Known, machine: Machine, trust: Trust) -> None:
    server, now = write.server, write.now
    server.hostname, server.label = machine.instance.name, machine.instance.name.partition(".")[0]
    server.zone, server.moving_to = machine.zone, None
    server.commercial_type = machine.instance.commercial_type or None
    server.generation = onward(max(server.generation, trust.facts.generation if trust.facts else 0), now)
    server.names_generation, server.names_digest = onward(server.names_generation, now), None
    server.version = onward(server.version, now)
    known.subscription.version = onward(known.subscription.version, now)
    server.host_key, server.host_key_own = trust.key, trust.key is not None
    server.install_run_id = None
    if trust.facts is not None:
        server.facts = trust.facts.model_dump(mode="json")
        server.bundle_version = trust.facts.bundle_version
        server.ever_ready = True  # mail may live there: it is never made anew by itself
    if trust.by == "rebuild":
        server.incarnation += 1


async def _conditions(write: Write, session: AsyncSession, known: Known, trust: Trust) -> None:
    """Everything is proven anew, but what was done to the machine before its first boot, and its installation."""
    for name, row in known.conditions.items():
        if name != STALLED:
            await session.delete(row)
    await session.flush()
    settled = {"PlaceChosen": "Where the adopted machine stands"}
    if trust.by != "rebuild":
        settled["UserDataSet"] = "The adopted machine has booted"
    if trust.facts is not None:
        settled["StackInstalled"] = f"Bundle {trust.facts.bundle_version}, as the adopted machine says"
    for name, message in settled.items():
        session.add(
            Condition(
                server_id=write.server.id, type=name, workspace_id=write.server.workspace_id, status="true",
                reason="Adopted", message=message, observed_generation=write.server.generation,
                last_transition_at=write.now, since=write.now, attempt=1, failures=0, evidence={},
            )
        )  # fmt: skip


async def _mail(write: Write, session: AsyncSession, facts: HostFacts) -> None:
    """Domains and mailboxes as the host has them. Their keys are known, so that their names stay published; passwords
    are asked of the vault again."""
    server = write.server
    ids: dict[str, str] = {}
    for name, keys in sorted(domains_of(facts).items()):
        zone = await _zone(session, server.workspace_id, name)
        selectors = {key.algorithm: key.selector for key in keys}
        row = Domain(
            id=new_id("dom"),
            workspace_id=server.workspace_id,
            server_id=server.id,
            zone_id=zone.zone_id if zone else "",
            name=name,
            state="awaiting_dns",
            generation=server.generation,
            dkim_rsa_selector=selectors["rsa"],
            dkim_ed25519_selector=selectors["ed25519"],
            dkim=[
                {"selector": key.selector, "algorithm": key.algorithm, "public_key": key.public_key_b64}
                for key in keys
            ],
            mta_sts_id=f"{write.now:%Y%m%d%H%M%S}",
        )
        session.add(row)
        ids[name] = row.id
    await session.flush()
    for box in facts.mailboxes:
        local, _, domain = box.address.rpartition("@")
        session.add(
            Mailbox(
                id=box.mailbox_id, workspace_id=server.workspace_id, server_id=server.id,
                domain_id=ids[domain], address=box.address, local_part=local, display_name="",
                state="pending", generation=server.generation,
            )
        )  # fmt: skip
