"""Certificates that open one host for a few minutes, and the user data that makes a host trust them."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncssh
import pytest
import yaml
from asyncssh.public_key import SSHOpenSSHCertificate
from pydantic import SecretStr

from services.provisioner.hosts.cloud_init import one_time_host_key, principal_of, render_user_data
from services.provisioner.hosts.ssh_authority import SshAuthority
from shared.clock import FixedClock

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SERVER = "srv_" + "1" * 32


@pytest.fixture
def authority() -> SshAuthority:
    return SshAuthority(SshAuthority.generate(), FixedClock(NOW))


def issued(authority: SshAuthority) -> SSHOpenSSHCertificate:
    _, certificate = authority.issue(SERVER, "facts")
    assert isinstance(certificate, SSHOpenSSHCertificate)
    return certificate


def test_certificate_is_for_one_server(authority: SshAuthority) -> None:
    certificate = issued(authority)
    assert certificate.principals == [principal_of(SERVER)]


def test_certificate_lives_minutes(authority: SshAuthority) -> None:
    certificate = issued(authority)
    start, end = certificate._valid_after, certificate._valid_before
    assert start <= NOW.timestamp() < end
    assert end - start <= 300


def test_certificate_allows_neither_terminal_nor_forwarding(authority: SshAuthority) -> None:
    certificate = issued(authority)
    assert not certificate.options


def test_each_connection_has_a_key_of_its_own(authority: SshAuthority) -> None:
    assert authority.issue(SERVER, "a")[0].public_data != authority.issue(SERVER, "a")[0].public_data


def test_other_key_types_are_refused() -> None:
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key().decode()
    with pytest.raises(ValueError, match="Ed25519"):
        SshAuthority(SecretStr(key), FixedClock(NOW))


def test_user_data_carries_one_key_and_no_password(authority: SshAuthority) -> None:
    host_key = one_time_host_key()
    text = render_user_data(
        server_id=SERVER, hostname="s1.mx.example", host_key=host_key, user_ca_public_key=authority.public_key
    )
    assert host_key.private.get_secret_value().splitlines()[1] not in repr(text)
    document = yaml.safe_load(text.get_secret_value())
    assert text.get_secret_value().startswith("#cloud-config\n")
    assert document["ssh_keys"]["ed25519_public"] == host_key.public
    assert document["users"][0]["passwd"] == "*"
    assert "ssh_authorized_keys" not in document["users"][0]
    written = {file["path"]: file["content"] for file in document["write_files"]}
    assert written["/etc/ssh/sendchief_user_ca.pub"].strip() == authority.public_key
    assert written["/etc/ssh/sendchief_principals"].strip() == principal_of(SERVER)
    assert "PRIVATE" not in "".join(written.values())
    assert len(text.get_secret_value()) < 64 * 1024
