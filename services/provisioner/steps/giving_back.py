"""An address that is ours no more: the cloud is told first, then the books, then whoever watches it."""

from __future__ import annotations

from services.provisioner.models import Address, CloudResource
from services.provisioner.reconciler.work import Work
from shared.contracts.provisioner_events import AddressReleased


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
