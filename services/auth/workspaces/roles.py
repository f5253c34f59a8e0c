"""Who may do what to whose role, as pure functions: nobody acts on, or grants, a role above his own."""

from __future__ import annotations

from typing import Final

from services.auth.errors import AboveOwnRole
from services.auth.workspaces.schemas import Role
from shared.errors import Forbidden

RANK: Final[dict[Role, int]] = {"member": 0, "admin": 1, "owner": 2}


def require_admin(acting: Role) -> None:
    """Raises Forbidden. The gateway's table says the same, but its word may be a moment older than the role."""
    if RANK[acting] < RANK["admin"]:
        raise Forbidden("Only an owner or admin can do this.", next_action="Ask an owner of the workspace.")


def require_owner(acting: Role) -> None:
    if acting != "owner":
        raise Forbidden("Only an owner can do this.", next_action="Ask an owner of the workspace.")


def check_reach(acting: Role, *roles: Role) -> None:
    """Whether somebody in the role `acting` may take or give each of `roles`. Raises Forbidden, AboveOwnRole."""
    require_admin(acting)
    for role in roles:
        if RANK[role] > RANK[acting]:
            raise AboveOwnRole(f"This is for {role}s only.", next_action=f"Ask an {role} of the workspace.")
