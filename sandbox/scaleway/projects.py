"""The one project and organization that the key may act for."""

from __future__ import annotations

from sandbox.scaleway.errors import permissions_denied
from sandbox.scaleway.world import World


def own_project(world: World, project: str | None, organization: str | None = None) -> None:
    """Raises permissions_denied for a project or organization of somebody else; absent means the key's own."""
    if project not in (None, world.settings.project_id) or organization not in (
        None,
        world.settings.organization_id,
    ):
        raise permissions_denied("write", "project")


def owner_fields(world: World) -> dict[str, str]:
    """As Instance v1 spells them; the newer APIs say project_id and organization_id."""
    return {"project": world.settings.project_id, "organization": world.settings.organization_id}
