"""An address that is ours no more: the cloud is told first, then the books, then whoever watches it."""

from __future__ import annotations

import contextlib

from services.provisioner.models import Address, CloudResource
from services.provisioner.ports import CloudNotFound
from services.provisioner.reconciler.work import Work
from shared.contracts.provisioner_events import AddressReleased
from shared.crashpoint import crashpoint


async def release_refused(work: Work, row: Address) -> None:
    """Gives back one that was held so that the cloud could not offer it again."""
    resource = next(one for one in work.known.resources if one.id == row.resource_id)
    with contextlib.suppress(CloudNotFound):  # gone is what we want
        await work.ports.cloud.release_ip(work.server.zone, str(resource.external_id))
    crashpoint("held.after_release")
    await give_back(work, resource)


async def give_back(work: Work, resource: CloudResource) -> None:
    """Books the release of an address that the cloud has taken back. A refused one stays visible as refused."""
    row = next((one for one in work.known.addresses if one.resource_id == resource.id), None)
    async with work.write() as write:
        stored = await write.session.get_one(CloudResource, resource.id)
        stored.state = "gone"
        stored.gone_at = write.now
        if row is None:
            return
        address = await write.session.get_one(Address, row.id)
        address.released_at = write.now
        address.version += 1
        if address.state != "burned":
            address.state = "released"
        await write.held.emit(
            AddressReleased(
                workspace_id=address.workspace_id,
                server_id=address.server_id,
                address_id=address.id,
                address=address.address,
            ),
            subject=address.id,
            version=address.version,
        )
