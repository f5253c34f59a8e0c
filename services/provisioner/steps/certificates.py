"""Certificates are made on the host, with keys that never leave it; here they are only asked for and looked at."""

from __future__ import annotations

from services.provisioner.hosts.desired import CertificateFacts
from services.provisioner.models import Domain
from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from services.provisioner.steps.host_facts import facts_now

LOOK_SECONDS = 1.0


class Certificates(Step):
    """The host's own certificate. Rechecked: a certificate ends, and an authority can be replaced."""

    name = "certificates"
    title = "Get the certificate"
    condition = "TlsReady"
    needs = ("install", "publish_addresses", "own_system")
    deadline = 300.0
    recheck = True
    guards_ready = True

    async def run(self, work: Work) -> Outcome:
        if not work.server.names_forward:
            return Wait(LOOK_SECONDS, "AwaitingForward", "Waiting until the name leads to the server.")
        result = await work.ports.host.certificates(work.host_address())
        found = result.of(work.server.hostname)
        if found is not None and found.state == "valid":
            await facts_now(work)
            return Done(f"Valid until {found.not_after:%Y-%m-%d}, issued by {found.issuer}", evidence(found))
        return pending(found)


def pending(found: CertificateFacts | None) -> Outcome:
    """What to say about a certificate that is not there yet."""
    if found is None or found.state == "waiting_dns":
        return Wait(LOOK_SECONDS, "AwaitingDns", "The server does not see its own names yet.")
    return Retry(
        "certificate",
        found.error or found.state,
        "The certificate authority has not issued it yet.",
        evidence=evidence(found),
    )


def evidence(found: CertificateFacts) -> dict[str, object]:
    return found.model_dump(mode="json", include={"name", "names", "state", "issuer", "not_after", "error"})


class DomainCertificates(Step):
    """Certificates for the web names of the domains whose records are verified; with them a domain is ready."""

    name = "domain_certificates"
    title = "Get the domains' certificates"
    condition = "DomainsReady"
    needs = ("apply_host", "own_system")
    deadline = 600.0

    def satisfied(self, work: Work) -> bool:
        return not self._open(work)

    @staticmethod
    def _open(work: Work) -> list[Domain]:
        return [
            row
            for row in work.known.domains
            if row.state in ("awaiting_dns", "securing") and row.dns_verified
        ]

    async def run(self, work: Work) -> Outcome:
        fresh = [row for row in self._open(work) if row.state == "awaiting_dns"]
        if fresh:
            await self._verified(work, fresh)
            return Wait(0, "DomainVerified")
        result = await work.ports.host.certificates(work.host_address())
        left: list[CertificateFacts | None] = []
        for row in self._open(work):
            found = result.of(row.name)
            if found is not None and found.state == "valid":
                await self._ready(work, row, found)
            else:
                left.append(found)
        if not left:
            return Done("All verified domains have their certificates")
        return pending(left[0])

    async def _verified(self, work: Work, rows: list[Domain]) -> None:
        async with work.write() as write:
            for row in rows:
                (await write.session.get_one(Domain, row.id)).state = "securing"
                write.log("publish_domain", "ok", subject_id=row.id, message="All records are visible")
                write.log("domain_certificate", "started", subject_id=row.id)

    async def _ready(self, work: Work, row: Domain, found: CertificateFacts) -> None:
        async with work.write() as write:
            stored = await write.session.get_one(Domain, row.id)
            stored.state = "ready"
            stored.certified = True
            stored.ready_at = write.now
            write.log(
                "domain_certificate",
                "ok",
                subject_id=row.id,
                message=f"Valid until {found.not_after:%Y-%m-%d}",
                evidence=evidence(found),
            )
