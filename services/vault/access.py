"""Checks that stand between an internal token and a workspace."""

from __future__ import annotations

from shared.errors import Forbidden
from shared.identity import Identity


def own_workspace(identity: Identity, workspace_id: str) -> None:
    """Raises Forbidden unless the token was minted for the workspace that the call names."""
    if identity.workspace_id != workspace_id:
        raise Forbidden("The token was not made for this workspace.")
