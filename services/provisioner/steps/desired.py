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
from services.provisioner.models import Domain, Mailbox
from services.provisioner.reconciler.work import Work


def host_desired(work: Work) -> HostDesired:
    """The whole wish of the present generation. Domains and mailboxes that are being removed are not in it."""
    server, settings = work.server, work.settings
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
        domains=tuple(_domain(row) for row in work.known.domains if row.state != "removing"),
        mailboxes=tuple(
            _mailbox(work, row)
            for row in work.known.mailboxes
            if row.state != "removing" and row.id in verified(work)
        ),
    )


def verified(work: Work) -> set[str]:
    """Mailboxes whose verifiers the vault has given us."""
    return set(work.known.verifiers)


def _domain(row: Domain) -> DomainOnHost:
    return DomainOnHost(
        domain_id=row.id,
        name=row.name,
        dkim_selectors=DkimSelectors(rsa=row.dkim_rsa_selector, ed25519=row.dkim_ed25519_selector),
    )


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
