"""What is rendered for a host, and how it is packed."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from services.provisioner.hosts.bundle.archive import apply_payload, build_archive, bundle_version, packages
from services.provisioner.hosts.bundle.render import PLACES, TEMPLATES, aliases, render_files
from tests.provisioner.hosts.test_desired import HOST, PHC, SELECTORS, desired


def rendered(**changes: Any) -> dict[str, str]:
    return {file.path: file.content for file in render_files(desired(**changes))}


def main_cf(**changes: Any) -> dict[str, str]:
    lines = rendered(**changes)["/etc/postfix/main.cf"].splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def test_every_template_is_used() -> None:
    used = {f"{place.template}.j2" for place in PLACES}
    used |= {
        "nginx/domain.conf.j2",
        "nginx/mta-sts.txt.j2",
        "nginx/autoconfig.xml.j2",
        "nginx/autodiscover.xml.j2",
    }
    assert {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.j2")} == used


def test_postfix_trusts_no_network_and_relays_for_nobody() -> None:
    settings = main_cf()
    assert settings["mynetworks"] == ""
    assert settings["mydestination"] == ""
    elsewhere, last = settings["smtpd_relay_restrictions"].split(", ")
    assert last == "reject_unauth_destination"
    assert elsewhere == "check_recipient_access lmdb:/etc/sendchief/postfix/elsewhere_recipients"
    assert settings["smtpd_sasl_auth_enable"] == "no"


def test_postfix_closes_the_smuggling_gap_for_everybody() -> None:
    settings = main_cf()
    assert settings["smtpd_forbid_bare_newline"] == "normalize"
    assert settings["smtpd_forbid_bare_newline_exclusions"] == ""
    assert settings["smtpd_forbid_unauth_pipelining"] == "yes"


def test_tls_starts_at_1_2_and_knows_no_sha1() -> None:
    files = rendered()
    assert main_cf()["smtpd_tls_mandatory_protocols"] == ">=TLSv1.2"
    assert "SHA1" not in files["/etc/postfix/openssl.cnf"]
    assert "ssl_min_protocol = TLSv1.2" in files["/etc/dovecot/dovecot.conf"]
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in files["/etc/nginx/nginx.conf"]


def test_ssh_is_open_to_the_control_plane_alone() -> None:
    rules = rendered(control_plane_v6=["2001:db8:5c::3e/128"])["/etc/nftables.conf"]
    assert "policy drop;" in rules
    assert "198.51.100.62/32" in rules
    assert "2001:db8:5c::3e/128" in rules
    assert "tcp dport 22 accept" not in rules


def test_without_a_v6_control_plane_no_v6_rule_for_ssh_remains() -> None:
    rules = rendered()["/etc/nftables.conf"]
    assert "control_plane6" not in rules


def test_ratelimit_whitelist_cannot_be_read_as_a_map_path() -> None:
    config = rendered()["/etc/rspamd/local.d/ratelimit.conf"]
    value = next(line for line in config.splitlines() if line.startswith("whitelisted_rcpts"))
    assert "," in value
    assert "postmaster" not in value


def test_limits_are_those_of_each_mailbox() -> None:
    boxes = [
        {
            "mailbox_id": "m1",
            "address": "alice@example-a.test",
            "limits": {"recipients_per_hour": 7, "recipients_per_day": 70},
        }
    ]
    assert (
        '["alice@example-a.test"] = { 7, 70 }'
        in rendered(mailboxes=boxes)["/etc/rspamd/sendchief_limits.lua"]
    )


def test_a_mailbox_may_send_as_itself_only() -> None:
    senders = rendered()["/etc/sendchief/postfix/senders"].splitlines()
    assert "alice@example-a.test alice@example-a.test" in senders
    assert all(line.split()[0] == line.split()[1] for line in senders)
    assert not any(line.startswith("reports@") for line in senders)


def test_verifiers_are_one_per_line_and_only_for_dovecot() -> None:
    boxes = [
        {
            "mailbox_id": "m1",
            "address": "alice@example-a.test",
            "verifiers": [{"version": 1, "hash": PHC}, {"version": 2, "hash": PHC}],
        }
    ]
    file = next(
        f for f in render_files(desired(mailboxes=boxes)) if f.path.endswith("/auth/alice@example-a.test")
    )
    assert file.content == f"1 {{ARGON2ID}}{PHC}\n2 {{ARGON2ID}}{PHC}\n"
    assert (file.group, file.mode) == ("dovecot", 0o640)


def test_internal_mailboxes_have_no_password() -> None:
    files = rendered()
    assert files[f"/etc/sendchief/auth/selftest@{HOST}"] == ""
    assert files[f"/etc/sendchief/auth/reports@{HOST}"] == ""


def test_sign_in_files_come_before_the_tables_that_accept_mail() -> None:
    order = [file.path for file in render_files(desired())]
    assert max(i for i, p in enumerate(order) if "/auth/" in p) < order.index(
        "/etc/sendchief/postfix/mailboxes"
    )


def test_reports_and_postmaster_have_a_home() -> None:
    found = dict(aliases(desired()))
    assert found[f"dmarc@{HOST}"] == f"reports@{HOST}"
    assert found[f"tlsrpt@{HOST}"] == f"reports@{HOST}"
    assert found["postmaster@example-a.test"] == "alice@example-a.test"


def test_mta_sts_policy_names_the_host() -> None:
    policy = rendered()["/var/lib/sendchief/web/example-a.test/.well-known/mta-sts.txt"]
    assert policy.splitlines()[:3] == ["version: STSv1", "mode: enforce", f"mx: {HOST}"]


def test_archive_is_the_same_for_the_same_input() -> None:
    assert build_archive(desired()) == build_archive(desired())


def test_archive_holds_program_packages_and_state() -> None:
    with tarfile.open(fileobj=io.BytesIO(build_archive(desired()))) as tar:
        names = set(tar.getnames())
        payload = json.load(tar.extractfile("payload.json"))  # type: ignore[arg-type]
    assert {"packages.txt", "payload.json", "sendchief_host/main.py", "sendchief_host/acme_hook.sh"} <= names
    assert payload["bundle_version"] == bundle_version()
    assert payload["desired"]["generation"] == 3


def test_version_does_not_depend_on_the_desired_state() -> None:
    assert (
        apply_payload(desired())["bundle_version"] == apply_payload(desired(generation=9))["bundle_version"]
    )


def test_package_list_is_sorted_and_unique() -> None:
    assert list(packages()) == sorted(set(packages()))


@pytest.mark.parametrize("path", ["/etc/nftables.conf", "/etc/ssh/sshd_config.d/00-sendchief.conf"])
def test_what_guards_the_host_is_for_root_alone(path: str) -> None:
    assert next(file for file in render_files(desired()) if file.path == path).mode == 0o600


def test_an_ordinary_mailbox_leaves_rspamd_alone() -> None:
    without = rendered(mailboxes=[])
    with_one = rendered()
    changed = {path for path in with_one if with_one[path] != without.get(path)}
    assert not any("rspamd" in path for path in changed)


@pytest.mark.parametrize(
    ("mail_service", "senders", "recipients", "transports"),
    [("full", False, False, False), ("outbound_paused", True, False, True), ("read_only", True, True, True)],
)
def test_a_paused_host_puts_off_the_customer_s_mail_and_no_other(
    mail_service: str, senders: bool, recipients: bool, transports: bool
) -> None:
    files = rendered(mail_service=mail_service)
    folder = "/etc/sendchief/postfix"
    tables = [files[f"{folder}/paused_{name}"] for name in ("senders", "recipients", "transports")]
    assert [bool(table.strip()) for table in tables] == [senders, recipients, transports]
    for table in tables:
        assert all(line.lstrip("@").startswith("example-a.test ") for line in table.splitlines() if line)
    concerned = {path for path, text in files.items() if text != rendered()[path]}
    paused = {f"{folder}/paused_{name}" for name in ("senders", "recipients", "transports")}
    assert concerned <= {*paused, "/etc/dovecot/dovecot.conf"}


def test_scripts_that_could_send_run_only_while_sending_is_not_paused() -> None:
    runs = {
        stage: "sieve = yes"
        in rendered(mail_service=stage)["/etc/dovecot/dovecot.conf"].partition("protocol lmtp")[2]
        for stage in ("full", "outbound_paused", "read_only")
    }
    assert runs == {"full": True, "outbound_paused": False, "read_only": False}


def test_a_read_only_host_lets_customers_read_and_its_own_mailboxes_do_all() -> None:
    texts = {
        stage: rendered(mail_service=stage)["/etc/dovecot/dovecot.conf"]
        for stage in ("full", "outbound_paused", "read_only")
    }
    assert [stage for stage, text in texts.items() if "acl" in text] == ["read_only"]
    assert "acl owner {\n  rights = lrs\n}" in texts["read_only"]
    assert [
        line.split("=")[1].split("@")[0] for line in texts["read_only"].splitlines() if "user=" in line
    ] == [
        "selftest",
        "reports",
    ]


def test_a_domain_on_its_way_has_keys_and_is_not_served() -> None:
    other = "s0000beef.mx.sendchief.test"
    moving = {"domain_id": "dom_1", "name": "example-a.test", "dkim_selectors": SELECTORS, "served_by": other}
    files = rendered(domains=[moving])
    for name in ("domains", "mailboxes", "senders", "aliases"):
        assert "example-a.test" not in files[f"/etc/sendchief/postfix/{name}"]
    assert files["/etc/sendchief/postfix/elsewhere_recipients"].startswith("example-a.test 450 ")
    assert files["/etc/sendchief/postfix/elsewhere_transports"] == f"example-a.test smtp:[{other}]:25\n"
    assert files["/etc/sendchief/auth/alice@example-a.test"] == ""
    assert "/etc/sendchief/webmail-ended/alice@example-a.test" not in files
    assert "example-a.test" in files["/etc/rspamd/local.d/dkim_signing.conf"]
    assert rendered()["/etc/sendchief/postfix/elsewhere_recipients"] == ""


def test_postfix_begins_anew_when_a_domain_is_served_somewhere_else() -> None:
    """What its processes remember of an address would be refused for good after the domain was opened."""
    effects = {file.effect for file in render_files(desired()) if "/elsewhere_" in file.path}
    assert effects == {"postfix"}
