"""Every row of the self-test, as data: its layer, and what it says to a person."""

from __future__ import annotations

from typing import NamedTuple

from services.provisioner.hosts.self_test.checks import CheckResult, Layer


class Row(NamedTuple):
    layer: Layer
    words: str


ROWS: dict[str, Row] = {
    "listeners_ipv4": Row(
        "hardening", "Over IPv4 exactly the ports 22, 25, 80, 443, 465, 587 and 993 are open."
    ),
    "listeners_ipv6": Row(
        "hardening", "Over IPv6 exactly the ports 22, 25, 80, 443, 465, 587 and 993 are open."
    ),
    "listeners_inside": Row("hardening", "Nothing on the host listens beyond loopback except these ports."),
    "firewall_drops": Row("hardening", "The firewall drops what is not allowed without an answer."),
    "ssh_certificates_only": Row(
        "hardening", "SSH lets in only short-lived certificates; passwords and other keys are refused."
    ),
    "dns_a": Row("dns", "The host's name leads to its IPv4 address, signed."),
    "dns_aaaa": Row("dns", "The host's name leads to its IPv6 address, signed."),
    "dns_tlsa": Row("dns", "TLSA names the current and the next key, signed."),
    "dns_ptr4": Row("dns", "The IPv4 address leads back to the host's name."),
    "dns_ptr6": Row("dns", "The IPv6 address leads back to the host's name."),
    "services": Row("compliance", "Every service of a mail host is running."),
    "system": Row("hardening", "The system is in order: no unit has failed."),
    "firewall": Row(
        "hardening", "The firewall drops by default, and SSH is open to the control plane alone."
    ),
    "egress_rule": Row("hardening", "A rule keeps port 25 outwards for the mail server alone."),
    "egress_25_postfix": Row("compliance", "The mail server reaches port 25 of another mail server."),
    "egress_25_others": Row("hardening", "No other user of the host reaches port 25 outwards."),
    "updates": Row("hardening", "Security updates install themselves."),
    "resolver": Row("dns", "The host asks only its own validating resolver."),
    "tls_versions": Row("encryption", "Only TLS 1.2 and newer is spoken, on every port."),
    "tls_no_sha1": Row("encryption", "Key exchange is never signed with SHA-1."),
    "certificate_valid": Row(
        "encryption", "The certificate is trusted, for this name, and the same on all five TLS ports."
    ),
    "certificate_key_is_tlsa_current": Row(
        "encryption", "The key that is served is the one that TLSA publishes as current."
    ),
    "web_redirects": Row("encryption", "Port 80 only leads to HTTPS."),
    "web_headers": Row("hardening", "Webmail answers over HTTPS with HSTS and the other protective headers."),
    "smtp_banner": Row(
        "compliance", "The mail server greets with its own name, the one that its PTR records lead to."
    ),
    "no_auth_on_25": Row("authentication", "Port 25 offers no sign-in, encrypted or not."),
    "no_auth_before_tls": Row(
        "authentication", "Before encryption port 587 neither offers nor takes a password."
    ),
    "no_relay": Row("authentication", "The host relays for nobody: six tries, all refused for good."),
    "report_addresses": Row("compliance", "The addresses for DMARC and TLS reports take mail."),
    "unknown_recipient": Row("compliance", "Mail for a mailbox that does not exist is refused at once."),
    "no_smuggling": Row(
        "hardening", "Two messages cannot hide in one: only the standard's end of a message ends it."
    ),
    "auth_after_tls": Row(
        "authentication", "Behind TLS the right password signs in on 465 and 587, and a wrong one does not."
    ),
    "sender_bound_to_mailbox": Row(
        "authentication", "A mailbox cannot send with another mailbox's envelope address."
    ),
    "from_bound_to_mailbox": Row(
        "authentication", "A mailbox cannot write another name into the From header."
    ),
    "recipient_limit": Row("compliance", "The number of recipients of one message is limited."),
    "imap_login": Row("authentication", "The mailbox opens by IMAP over TLS."),
    "mail_delivered": Row("compliance", "A submitted message is delivered and can be read."),
    "mail_received": Row(
        "compliance", "A message from outside is delivered with the host's own authentication verdict."
    ),
    "dkim_signed_twice": Row(
        "authentication", "Outgoing mail carries an RSA and an Ed25519 signature, and both verify."
    ),
    "sender_privacy": Row("compliance", "Outgoing mail does not tell the sender's device or address."),
}


def row(row_id: str, *, ok: bool, evidence: str) -> CheckResult:
    """A result of a row in the table."""
    layer, words = ROWS[row_id]
    return CheckResult(id=row_id, layer=layer, ok=ok, evidence=evidence[:4000], words=words)
