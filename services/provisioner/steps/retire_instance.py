"""A rebuild that somebody ordered: the machine and its disk go, then another is made behind the same addresses.

Name, addresses, reverse names and packet filter stay. Nothing but the order (`incarnation`) leads here: a server that
was ever Ready is never made anew by itself.
"""

from __future__ import annotations

from services.provisioner.hosts.desired import DkimSelectors
from services.provisioner.models import Domain, Mailbox
from services.provisioner.ports import CloudOutOfStock
from services.provisioner.reconciler.failures import outcome_of
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work, Write
from services.provisioner.steps.base import Step
from services.provisioner.steps.delete_instance import DeleteInstance, PowerOff
from services.provisioner.steps.delete_rest import DeleteVolumes
from services.provisioner.steps.reopening import pause_ready, reopen
from shared.crashpoint import crashpoint

ANEW = (
    "InstanceCreated", "UserDataSet", "InstanceBound", "Running", "SshTrusted", "UserDataForgotten",
    "StackInstalled", "DnsPublished", "TlsReady", "WebmailKeySet", "SmtpVerified", "InstanceHealthy",
    "VerifiersFetched", "HostApplied", "DomainsReady",
)  # fmt: skip


class RetireInstance(Step):
    name = "retire_instance"
    title = "Remove the old system and its disk"
    condition = "OldSystemRemoved"
    needs = ("check_reputation", "security_group")
    deadline = 600.0
    aside = True

    def satisfied(self, work: Work) -> bool:
        return work.server.incarnation_cleared >= work.server.incarnation

    async def run(self, work: Work) -> Outcome:
        order = {"incarnation": work.server.incarnation}
        ready = work.condition("Ready")
        if ready is not None and ready.evidence != order:
            if not await self._can_follow(work):
                return outcome_of(CloudOutOfStock("nothing is deleted before another can be made"))
            async with work.write() as write:
                await pause_ready(write, "Rebuilding", "The server is being rebuilt, by order.", order)
            return Wait(0, "Announced")
        for step in (PowerOff(), DeleteInstance(), DeleteVolumes()):
            outcome = await step.run(work)
            if not isinstance(outcome, Done):
                return outcome
        crashpoint("rebuild.before_reset")
        async with work.write() as write:
            await self._reset(write, work)
        crashpoint("rebuild.after_reset")
        return Done("The old system and its disk are gone")

    async def _can_follow(self, work: Work) -> bool:
        """Whether a machine of the plan is to be had there now."""
        stock = await work.ports.cloud.availability(work.server.zone)
        types = work.ports.catalogue.plan(work.server.plan).commercial_types
        return any(stock.get(name, "shortage") != "shortage" for name in types)

    async def _reset(self, write: Write, work: Work) -> None:
        """Forgets what was true of the old machine: its keys, its installation, its part in domains and mailboxes."""
        server = write.server
        server.incarnation_cleared = work.server.incarnation
        server.boots_stopped = server.boots_done = server.boots
        server.boot_type = "local"
        server.commercial_type = None
        server.host_key, server.host_key_own, server.facts = None, False, None
        server.install_run_id = server.bundle_version = server.webmail_key_version = None
        await reopen(write, ANEW)
        selectors = DkimSelectors.of_month(write.now, server.incarnation)
        for row in work.known.domains:
            if row.state != "removing":
                domain = await write.session.get_one(Domain, row.id)
                # The old keys stay published until the new ones are known: without them there would be no MX either.
                domain.state, domain.certified = "pending", False
                domain.dkim_rsa_selector, domain.dkim_ed25519_selector = selectors.rsa, selectors.ed25519
        for mailbox in work.known.mailboxes:
            if mailbox.state == "active":
                stored = await write.session.get_one(Mailbox, mailbox.id)
                stored.state, stored.applied_generation = "pending", 0
