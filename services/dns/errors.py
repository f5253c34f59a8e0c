"""What can be wrong with a request to this service."""

from __future__ import annotations

from shared.errors import Conflict, Invalid


class ZoneNotUsable(Invalid):
    code = "zone_not_usable"
    title = "This name cannot be used as a zone"


class WorkspaceEnding(Conflict):
    code = "workspace_ending"
    title = "The workspace is being deleted"


class ProviderTokenMisplaced(Invalid):
    code = "provider_token_misplaced"
    title = "A provider token belongs to the method token, and to it alone"


class ZoneExists(Conflict):
    code = "zone_exists"
    title = "The zone is already in this workspace"


class ZoneNotProven(Conflict):
    code = "zone_not_proven"
    title = "Control of the zone is not proven yet"


class ZoneByHand(Conflict):
    code = "zone_by_hand"
    title = "This zone is edited by its owner"


class PlanStale(Conflict):
    code = "plan_stale"
    title = "The plan no longer fits"


class PlanExpired(Conflict):
    code = "plan_expired"
    title = "The plan is too old"


class ConflictNotAcceptable(Invalid):
    code = "conflict_not_acceptable"
    title = "This conflict cannot be accepted"
