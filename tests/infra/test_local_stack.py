"""The local stack's parts that need no stack."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path

import pytest

from infra.local import layout as layout_module
from infra.local.accounts import UIDS
from infra.local.databases import SERVICES
from infra.local.layout import Layout
from infra.local.pki import Authority
from infra.local.ports import free_ports
from infra.local.rabbitmq import definitions
from infra.local.state import State
from shared.bus.topology import THREATS_USER


def test_two_stacks_of_one_checkout_share_no_path() -> None:
    demo, other = Layout("demo"), Layout("test")
    assert demo.id != other.id
    assert demo.mount != other.mount


def test_two_checkouts_share_no_path(tmp_path: Path) -> None:
    assert Layout("demo").id != Layout("demo", tmp_path).id


def test_socket_paths_fit_the_kernel_limit() -> None:
    longest = max(len(str(Layout("test-master").sockets / f"{name}.sock")) for name in UIDS)
    assert longest < 100


def test_what_is_removed_below_the_mount_is_not_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "code.py").touch()
    layout = Layout("demo", tmp_path)
    layout.bind()
    try:
        (layout.home / "log").touch()
        with pytest.raises(OSError, match="Read-only"):
            (layout.mount / "code.py").unlink()
    finally:
        layout.unbind()
    assert (tmp_path / "code.py").exists()
    assert (layout.var / "log").exists()
    assert not layout.mount.exists()


def test_a_mount_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout("demo", tmp_path)
    mount = layout_module._mount

    def refused(*arguments: str | Path) -> None:
        mount(*("--options", "no-such-option", layout.mount) if "remount,bind,ro" in arguments else arguments)

    monkeypatch.setattr(layout_module, "_mount", refused)
    with pytest.raises(subprocess.CalledProcessError):
        layout.bind()
    assert not layout.mounted()
    assert not layout.mount.exists()


def test_server_certificate_verifies_against_the_stack_authority(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "test").server("web", ["localhost", "127.0.0.1"])
    server, client = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        ssl.create_default_context(cafile=tmp_path / "ca.pem"),
    )
    server.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    right = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (left, right):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert left.version() == "TLSv1.3"


def test_state_is_readable_by_its_owner_alone_and_keeps_its_passwords(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    first = State.load(file)
    assert file.stat().st_mode & 0o077 == 0
    assert State.load(file).database == first.database


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(20))) == 20


@pytest.mark.parametrize("service", SERVICES)
def test_service_user_declares_nothing_and_publishes_only_its_own_facts(tmp_path: Path, service: str) -> None:
    users = State.load(tmp_path / "state.json").broker_users()
    permission = next(
        p for p in definitions(users, "sendchief.events")["permissions"] if p["user"] == service
    )
    topics = next(
        p for p in definitions(users, "sendchief.events")["topic_permissions"] if p["user"] == service
    )
    assert permission["configure"] == "^$"
    assert not re.search(permission["write"], "")  # the default exchange
    assert not re.search(permission["write"], "sendchief.dlx")
    assert re.search(permission["write"], "sendchief.events")
    assert not re.search(permission["read"], f"{service}.on-event.parked")
    assert re.search(permission["read"], f"{service}.on-event")
    assert not re.search(topics["write"], "other.server.ready.v1")


def test_who_tells_of_threats_may_do_only_that(tmp_path: Path) -> None:
    written = definitions(State.load(tmp_path / "state.json").broker_users(), "sendchief.events")
    permission = next(p for p in written["permissions"] if p["user"] == THREATS_USER)
    topics = next(p for p in written["topic_permissions"] if p["user"] == THREATS_USER)
    assert (permission["configure"], permission["read"]) == ("^$", "^$")
    assert not re.search(permission["write"], "")
    assert re.search(permission["write"], "sendchief.events")
    assert re.search(topics["write"], "gateway.threat.observed.v1")
    assert not re.search(topics["write"], "gateway.threat.observed.v1.x")
    assert not re.search(topics["write"], "auth.membership.changed.v1")


def test_passwords_are_not_in_the_representation_of_users(tmp_path: Path) -> None:
    users = State.load(tmp_path / "state.json").broker_users()
    assert not any(user.password in repr(users) for user in users)
