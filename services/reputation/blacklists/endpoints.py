"""`GET /v1/blacklists`: which lists addresses are checked on, and what their answers mean."""

from __future__ import annotations

from fastapi import APIRouter

from services.reputation.blacklists.catalogue import Blacklist, Catalogue
from services.reputation.blacklists.schemas import BlacklistView
from shared.web import Page, ResourcesDep, signed_in

router = APIRouter(prefix="/v1", tags=["blacklists"])


@router.get("/blacklists", dependencies=[signed_in()])
async def list_blacklists(resources: ResourcesDep) -> Page[BlacklistView]:
    """All lists, strongest tier first. There are few: one page."""
    catalogue: Catalogue = resources.catalogue
    lists = sorted(catalogue.lists, key=lambda item: (item.tier, item.name))
    return Page(items=[_view(item) for item in lists])


def _view(item: Blacklist) -> BlacklistView:
    return BlacklistView(
        name=item.name,
        zone=item.zone,
        tier=item.tier,
        ipv4=item.ipv4,
        ipv6=item.ipv6,
        enabled=item.enabled,
        codes={str(code): meaning for code, meaning in item.codes.items()},
        delist_url=item.delist_url,
    )
