"""What the host shall be, put together from the rows."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from services.provisioner.hosts.desired import (
    DkimSelectors,
    DomainOnHost,
    HostDesired,
    MailboxDesired,
    MailboxVerifier,
)
from services.provisioner.models import BEFORE_OPENING, Domain, Mailbox
from services.provisioner.reconciler.work import Work


def host_desired(work: Work) -> HostDesired:
    """The whole wish of the present generation. Domains and mailboxes that are being removed are not in it."""
    server, settings = work.server, work.settings
    domains = [row for row in (*work.known.domains, *work.known.leaving) if _on_host(work, row)]
    here = {row.id for row in domains}
    return HostDesired(
        generation=server.generation,
        server_id=server.id,
        hostname=server.hostname,
        ipv4=IPv4Address(work.address(4)),
        ipv6=IPv6Address(work.address(6)),
        control_plane_v4=tuple(IPv4Network(network) for network in settings.control_plane_v4),
        control_plane_v6=tuple(IPv6Network(network) for network in settings.control_plane_v6),
        acme_directory=settings.acme_directory,
        acme_contact=settings.acme_contact,
        host_dkim=DkimSelectors.of_month(server.created_at),
        reports=HostDesired.reports_of(server.hostname),
        webmail_key_version=server.webmail_key_version,
        mail_service=server.mail_service,
        domains=tuple(_domain(work, row) for row in domains),
        mailboxes=tuple(
            _mailbox(work, row)
            for row in work.known.mailboxes
            if row.state != "removing" and row.domain_id in here and row.id in verified(work)
        ),
    )


def verified(work: Work) -> set[str]:
    """Mailboxes whose verifiers the vault has given us."""
    return set(work.known.verifiers)


def _on_host(work: Work, row: Domain) -> bool:
    if row.moving_from == work.server.id:
        return row.move_phase not in (None, "forgetting")
    return row.state != "removing"


def closed(work: Work) -> set[str]:
    """Domains that this server has served and that move away, once nobody is let in there any more."""
    return {
        row.id
        for row in work.known.leaving
        if row.move_phase not in (None, *BEFORE_OPENING) or row.move_generation is not None
    }


def _domain(work: Work, row: Domain) -> DomainOnHost:
    selectors = DkimSelectors(rsa=row.dkim_rsa_selector, ed25519=row.dkim_ed25519_selector)
    served_by = None
    if row.moving_from == work.server.id:
        before = {key["algorithm"]: key["selector"] for key in (row.move_before or {}).get("dkim", ())}
        selectors = DkimSelectors.model_validate(before)
        if row.id in closed(work):
            served_by = work.known.others[row.server_id].hostname
    elif row.moving_from is not None and row.move_phase in BEFORE_OPENING:
        served_by = work.known.others[row.moving_from].hostname
    return DomainOnHost(domain_id=row.id, name=row.name, dkim_selectors=selectors, served_by=served_by)


def _mailbox(work: Work, row: Mailbox) -> MailboxDesired:
    return MailboxDesired(
        mailbox_id=row.id,
        address=row.address,
        display_name=row.display_name,
        webmail_ended=tuple(row.webmail_ended),
        verifiers=tuple(
            MailboxVerifier(
                version=item["version"],
                scheme=item["scheme"],
                hash=item["hash"],
                selector=item.get("selector"),
            )
            for item in work.known.verifiers[row.id].verifiers
        ),
    )
