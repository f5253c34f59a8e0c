"""The key with which this host, and no other, accepts the panel's webmail sign-ins."""

from __future__ import annotations

from services.provisioner.reconciler.outcomes import Done, Outcome
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from shared.crashpoint import crashpoint


class WebmailKey(Step):
    name = "webmail_key"
    title = "Set up webmail sign-in"
    condition = "WebmailKeySet"
    needs = ("install", "own_system")

    async def run(self, work: Work) -> Outcome:
        server = work.server
        given = await work.ports.vault.webmail_key(
            server.workspace_id,
            server.id,
            server.hostname,
            rekey=server.webmail_incarnation < server.incarnation,
        )
        await work.ports.host.set_webmail_key(work.host_address(), given.key, given.version)
        crashpoint("webmail_key.after_set")
        async with work.write() as write:
            write.server.webmail_key_version = given.version
            write.server.webmail_incarnation = write.server.incarnation
        return Done("The host holds its sign-in key", {"version": given.version})
