"""The document that decides what a host is: what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.provisioner.hosts.desired import (
    DkimSelectors,
    HostDesired,
    HostFacts,
    MailboxDesired,
    MailboxVerifier,
)

HOST = "s0000abcd.mx.sendchief.test"
SELECTORS = {"rsa": "sc202611r", "ed25519": "sc202611e"}
PHC = "$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHQ$" + "A" * 43


def document(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "generation": 3,
        "server_id": "srv_" + "0" * 32,
        "hostname": HOST,
        "ipv4": "198.51.100.17",
        "ipv6": "2001:db8:5c:0:1::1",
        "control_plane_v4": ["198.51.100.62/32"],
        "acme_directory": "https://acme.example/dir",
        "acme_contact": "hostmaster@example.com",
        "host_dkim": SELECTORS,
        "reports": HostDesired.reports_of(HOST).model_dump(),
        "domains": [{"domain_id": "dom_1", "name": "example-a.test", "dkim_selectors": SELECTORS}],
        "mailboxes": [
            {
                "mailbox_id": "mbx_1",
                "address": "alice@example-a.test",
                "verifiers": [{"version": 1, "hash": PHC}],
            }
        ],
    }
    return made | changes


def desired(**changes: Any) -> HostDesired:
    return HostDesired.model_validate(document(**changes))


def test_survives_json() -> None:
    assert HostDesired.model_validate_json(desired().model_dump_json()) == desired()


def test_verifier_hash_is_not_in_the_repr() -> None:
    assert PHC not in repr(desired())
    assert PHC not in repr(MailboxVerifier(version=1, hash=PHC))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control_plane_v4": []}, "control-plane"),
        ({"mailboxes": [{"mailbox_id": "m", "address": "alice@other.test"}]}, "no domain of this host"),
        ({"mailboxes": [{"mailbox_id": "m", "address": f"selftest@{HOST}"}]}, "listed twice"),
        ({"mailboxes": [{"mailbox_id": "m", "address": f"dmarc@{HOST}"}]}, "listed twice"),
        ({"mailboxes": [{"mailbox_id": "m", "address": "../../etc/passwd@example-a.test"}]}, "pattern"),
        ({"mailboxes": [{"mailbox_id": "m", "address": "a b@example-a.test"}]}, "pattern"),
        ({"hostname": "Not.Lower.Case"}, "pattern"),
        ({"hostname": "with space.test"}, "pattern"),
        ({"acme_directory": "http://acme.example/dir"}, "pattern"),
        ({"surprise": 1}, "Extra inputs"),
        ({"domains": [{"domain_id": "d", "name": HOST, "dkim_selectors": SELECTORS}]}, "listed twice"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        desired(**changes)


def test_verifier_must_be_an_argon2id_string() -> None:
    with pytest.raises(ValidationError):
        MailboxVerifier(version=1, hash="plaintext")
    with pytest.raises(ValidationError):
        MailboxVerifier(version=1, hash=PHC + "\n2 {PLAIN}open")


def test_line_breaks_reach_no_configuration_file() -> None:
    with pytest.raises(ValidationError):
        MailboxDesired(mailbox_id="m", address="alice@example-a.test\nroot@example-a.test")
    with pytest.raises(ValidationError):
        DkimSelectors(rsa="sc\nx", ed25519="sc")


def test_web_names_of_a_domain() -> None:
    assert desired().domains[0].web_names() == (
        "mta-sts.example-a.test",
        "autoconfig.example-a.test",
        "autodiscover.example-a.test",
    )


def test_facts_ignore_what_a_newer_host_adds() -> None:
    facts = HostFacts.model_validate(
        {
            "server_id": "srv_" + "0" * 32,
            "hostname": HOST,
            "generation": 3,
            "bundle_version": "1-000000000000",
            "ssh_host_key": "ssh-ed25519 AAAA",
            "tls": {
                "current_spki_sha256": "a" * 64,
                "next_spki_sha256": "b" * 64,
                "serving_spki_sha256": "a" * 64,
                "certificate_sha256": "c" * 64,
                "issuer": "CN=x",
                "not_after": "2027-01-01T00:00:00+00:00",
                "self_signed": True,
                "chain_verifies": False,
            },
            "invented_later": 1,
        }
    )
    assert facts.mailbox("mbx_1") is None
    assert facts.dkim_of("example-a.test") == ()
