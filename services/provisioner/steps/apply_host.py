"""The host learns its present wish as one document, and answers with facts: public keys, and who can sign in."""

from __future__ import annotations

from typing import Any

from services.provisioner.hosts.desired import HostFacts
from services.provisioner.hosts.port import HostCommandFailed
from services.provisioner.models import Condition, Domain, Mailbox
from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work, Write
from services.provisioner.steps.base import Step
from services.provisioner.steps.desired import closed, host_desired
from services.provisioner.steps.host_facts import keep_facts
from shared.contracts.provisioner_events import MailboxCredentialApplied, MailboxRemoved
from shared.crashpoint import crashpoint


class ApplyHost(Step):
    name = "apply_host"
    title = "Apply domains and mailboxes"
    condition = "HostApplied"
    needs = ("install", "apply_mailboxes", "own_system")
    deadline = 300.0
    each_generation = True

    async def run(self, work: Work) -> Outcome:
        server = work.server
        held = (server.facts or {}).get("generation", 0)
        served = work.known.domains or work.known.leaving or work.known.mailboxes
        if held >= server.generation and not served:
            return Done(f"Generation {held} is what was installed")
        desired = host_desired(work)
        crashpoint("apply.before")
        try:
            facts = await work.ports.host.apply(work.host_address(), desired)
        except HostCommandFailed as error:
            if error.code == "bundle_mismatch":
                return await self._install_first(work)
            raise
        crashpoint("apply.after")
        unsure = await self._record(work, facts)
        if unsure:
            return Retry(
                "host_command", f"not verified: {unsure}", "The server has not confirmed a mailbox yet."
            )
        return Done(f"Generation {facts.generation} is in force", {"generation": facts.generation})

    async def _install_first(self, work: Work) -> Outcome:
        """The host runs an older bundle than ours: the installation is opened again, with a run of its own."""
        async with work.write() as write:
            write.server.install_run_id = None
            installed = await write.session.get_one(Condition, (write.server.id, "StackInstalled"))
            installed.status, installed.reason = "false", "Reopened"
        return Wait(0, "InstallFirst", "The server gets the present version of the software first.")

    async def _record(self, work: Work, facts: HostFacts) -> list[str]:
        """Writes down what the host said. Returns the mailboxes that it did not confirm."""
        unsure = []
        async with work.write() as write:
            await keep_facts(write, facts)
            for domain in work.known.domains:
                if domain.generation <= facts.generation and (
                    domain.state == "pending" or domain.move_phase == "preparing"
                ):
                    await self._keys(write, domain, facts)
            for mailbox in work.known.mailboxes:
                if mailbox.generation > facts.generation or mailbox.domain_id in closed(work):
                    continue
                if mailbox.state == "removing":
                    await remove_mailbox(write, mailbox)
                elif mailbox.applied_generation < mailbox.generation and not await self._accepted(
                    write, mailbox, work.known.verifiers[mailbox.id].version, facts
                ):
                    unsure.append(mailbox.address)
        return unsure

    async def _keys(self, write: Write, domain: Domain, facts: HostFacts) -> None:
        """DKIM keys were born on the host; their public halves go to DNS."""
        keys: list[dict[str, Any]] = [
            {"selector": key.selector, "algorithm": key.algorithm, "public_key": key.public_key_b64}
            for key in facts.dkim_of(domain.name)
        ]
        stored = await write.session.get_one(Domain, domain.id)
        stored.dkim = keys
        write.log(
            "apply_domain",
            "ok",
            subject_id=domain.id,
            message="The server has made its signing keys",
            evidence={"selectors": [key["selector"] for key in keys]},
        )
        if stored.move_phase == "preparing":
            stored.move_phase = "copying"
            return
        stored.moving_from = None  # of an order from before mail moved along
        stored.dns_verified = False  # of a rebuilt host: what is visible are the keys of the one before
        stored.state = "awaiting_dns"
        write.log(
            "publish_domain",
            "waiting",
            subject_id=domain.id,
            message="Waiting until the domain's records are published and visible.",
            next_action="Look at the zone's DNS plan and apply it.",
        )

    async def _accepted(self, write: Write, mailbox: Mailbox, version: int, facts: HostFacts) -> bool:
        """Writes down and tells that the host lets in who is in this version of the mailbox's verifiers, and nobody
        else. False when it does not say so."""
        seen = facts.mailbox(mailbox.id)
        if seen is None or not seen.verified or seen.version < 1:
            return False
        stored = await write.session.get_one(Mailbox, mailbox.id)
        if stored.state == "pending":
            stored.state, stored.active_at = "active", write.now
        stored.credential_version = version
        stored.applied_generation = mailbox.generation
        await write.held.emit(
            MailboxCredentialApplied(
                workspace_id=mailbox.workspace_id, mailbox_id=mailbox.id, version=version
            ),
            subject=mailbox.id,
            version=version,
        )
        write.log(
            "apply_mailbox",
            "ok",
            subject_id=mailbox.id,
            message=f"{mailbox.address} can sign in",
            evidence={"version": version},
        )
        return True


async def remove_mailbox(write: Write, mailbox: Mailbox) -> None:
    """The host has it no more: the row goes, and with it the vault's secrets."""
    stored = await write.session.get(Mailbox, mailbox.id)
    if stored is not None:
        await write.session.delete(stored)
    await write.held.emit(
        MailboxRemoved(workspace_id=mailbox.workspace_id, mailbox_id=mailbox.id),
        subject=mailbox.id,
        version=mailbox.credential_version + 1,
    )
    write.log("remove_mailbox", "ok", subject_id=mailbox.id, message=f"{mailbox.address} is gone")
