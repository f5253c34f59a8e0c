"""From the key that we gave it to a key that only it knows, without ever trusting an unknown one."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode

from services.provisioner.hosts.port import (
    HostCommandFailed,
    HostKeyChanged,
    HostRefused,
    HostUnreachable,
)
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from shared.crashpoint import crashpoint

LOOK_SECONDS = 0.4
GRACE_SECONDS = 60.0
"""How long a fresh machine may behave like a stranger: its first boot has not got to our part yet."""


def fingerprint(public_key: str) -> str:
    """`SHA256:…` as ssh-keygen prints it, of `ssh-ed25519 AAAA…`."""
    digest = hashlib.sha256(b64decode(public_key.split()[1])).digest()
    return "SHA256:" + b64encode(digest).decode().rstrip("=")


class SshTrust(Step):
    name = "ssh_trust"
    title = "Establish trust over SSH"
    condition = "SshTrusted"
    needs = ("power_on", "own_system")
    deadline = 240.0

    async def run(self, work: Work) -> Outcome:
        server = work.server
        if server.host_key_own and server.host_key:
            return Done(
                f"Own key {fingerprint(server.host_key)} is pinned", {"sha256": fingerprint(server.host_key)}
            )
        try:
            return await self._move(work)
        except HostKeyChanged:
            # Before cloud-init has run, an image may show a key of its own. Nothing was sent to it.
            if self._seconds(work) > GRACE_SECONDS:
                raise
            return Wait(LOOK_SECONDS, "Booting", "The server is booting.")
        except (HostUnreachable, HostRefused, HostCommandFailed) as error:
            if isinstance(error, HostCommandFailed) and self._seconds(work) > GRACE_SECONDS:
                raise
            return Wait(LOOK_SECONDS, "Booting", "The server is booting.")

    def _seconds(self, work: Work) -> float:
        """Since this step began."""
        condition = work.condition(self.condition)
        return 0.0 if condition is None else (work.now() - condition.since).total_seconds()

    async def _move(self, work: Work) -> Outcome:
        """The host makes its key, we write it down, and only then does the host begin to show it."""
        one_time = work.host_address()
        if work.server.host_key is None:
            own = await work.ports.host.first_contact(one_time)
            crashpoint("ssh_trust.after_contact")
            async with work.write() as write:
                write.server.host_key = own
            return Wait(0, "KeyMade", "The server answered with the key that we had given it.")
        await work.ports.host.adopt_host_key(one_time, work.server.host_key)
        crashpoint("ssh_trust.after_adopt")
        async with work.write() as write:
            write.server.host_key_own = True
        return Wait(0, "KeyMoved")
