"""The cloud's own packet filter: closed but for the mail host's ports, and with outgoing mail opened.

Clouds drop outgoing port 25 by default. The switch is read back: asked for and not granted means a hard stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from services.provisioner.ports import CloudRule, CloudSecurityGroup
from services.provisioner.reconciler.creation import Recipe, make
from services.provisioner.reconciler.outcomes import Done, Fatal, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step

EVERYBODY = ("0.0.0.0/0", "::/0")
PUBLIC_PORTS = (25, 80, 443, 465, 587, 993)
SSH = 22
HOUR = 3600.0
RULES_SENT = "RulesSent"


class SecurityGroup(Step):
    name = "security_group"
    title = "Open the ports for mail"
    condition = "SecurityGroupReady"
    needs = ("choose_place", "leave_zone")
    deadline = 120.0

    async def run(self, work: Work) -> Outcome:
        row = work.resource("security_group")
        if row is None or row.state != "bound" or row.external_id is None:
            return await self._make(work)
        zone, cloud, group_id = work.server.zone, work.ports.cloud, row.external_id
        wanted = rules(work.settings.control_plane_v4, work.settings.control_plane_v6)
        if not self._sent(work) or await self._present(work, group_id) != set(wanted):
            await cloud.set_rules(zone, group_id, wanted)
            return Wait(0.2, RULES_SENT)
        group = await cloud.get_security_group(zone, group_id)
        if group.blocks_mail:
            return Fatal(
                "SmtpBlocked",
                "The data centre keeps outgoing mail blocked for our account. Our operators have to look.",
                after=HOUR,
                evidence={"security_group": group_id},
            )
        return Done(
            "Outgoing mail is open, and only the mail host's ports are reachable",
            {"security_group": group_id, "blocks_mail": group.blocks_mail, "rules": len(wanted)},
        )

    def _sent(self, work: Work) -> bool:
        """Rules that were never sent are not there to be looked at."""
        condition = work.condition(self.condition)
        return condition is not None and condition.reason == RULES_SENT

    async def _present(self, work: Work, group_id: str) -> set[CloudRule]:
        rows = await work.ports.cloud.get_rules(work.server.zone, group_id)
        return {rule for rule in rows if rule.editable}

    async def _make(self, work: Work) -> Outcome:
        zone, cloud = work.server.zone, work.ports.cloud

        async def call(request: dict[str, Any], tags: Sequence[str]) -> CloudSecurityGroup:
            return await cloud.create_security_group(zone, str(request["name"]), tags)

        return await make(
            work,
            Recipe(
                kind="security_group",
                slot="main",
                request={"name": f"sg-{work.server.label}"},
                call=call,
                find=partial(cloud.list_security_groups, zone),
                identify=lambda group: (group.id, group.tags),
                details=lambda group: {"name": group.name},
            ),
        )


def rules(control_plane_v4: Sequence[str], control_plane_v6: Sequence[str]) -> list[CloudRule]:
    """Everything inbound is dropped by the group's default; these are the exceptions."""
    accept = [
        CloudRule(direction="inbound", action="accept", protocol="TCP", source=source, port=port)
        for port in PUBLIC_PORTS
        for source in EVERYBODY
    ]
    accept += [
        CloudRule(direction="inbound", action="accept", protocol="TCP", source=source, port=SSH)
        for source in (*control_plane_v4, *control_plane_v6)
    ]
    accept += [
        CloudRule(direction="inbound", action="accept", protocol="ICMP", source=source)
        for source in EVERYBODY
    ]
    return accept
