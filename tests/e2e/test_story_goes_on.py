"""After the story: who holds which secret, and what a stop and a start leave as it was."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from pathlib import Path

import httpx
import pytest

from demo.logins import resume
from demo.story import Story
from demo.world import until
from infra.local.accounts import UIDS
from infra.local.stop import down
from sandbox.net.cgroups import Cgroup
from tests.e2e.conftest import Told, up_when_a_range_is_free

pytestmark = pytest.mark.stack

# What a process may be told beyond its database, its broker account and its identity key.
CREDENTIALS = {
    "auth-api": {
        "access_key",
        "sc_api_key_pepper",
        "sc_second_factor_key",
        "sc_resend_webhook_secret",
        "sc_webhook_key",
    },
    "auth-worker": {"mail_key", "sc_resend_api_key", "sc_webhook_key"},
    "provisioner-api": {"sc_stripe_checkout_key", "sc_stripe_webhook_secret"},
    "gateway": {"sc_threat_amqp_url"},
    "vault-worker": {"audit_key"},
    "provisioner-worker": {
        "sc_scaleway_secret_key",
        "sc_stripe_secret_key",
        "sc_host_key_secret",
        "ssh_ca_key",
    },
    "dns-worker": {"sc_platform_zone_token"},
}
EVERYBODY = {"sc_database_url", "sc_amqp_url", "identity_key"}


def pid_of(told: Told, name: str) -> int:
    return int((told.stack.layout.pids / name).read_text())


@pytest.mark.asvs("13.3.2")
@pytest.mark.parametrize("name", sorted(UIDS))
def test_process_holds_only_its_own_credentials(told: Told, name: str) -> None:
    directory = told.stack.layout.secrets / name
    held = {file.name for file in directory.iterdir()} if directory.exists() else set()
    assert held - EVERYBODY == CREDENTIALS.get(name, set())


@pytest.mark.asvs("13.3.1")
@pytest.mark.parametrize("name", sorted(UIDS))
def test_environment_and_arguments_of_a_process_hold_no_secret(told: Told, name: str) -> None:
    secrets = [
        file.read_text().strip()
        for directory in told.stack.layout.secrets.iterdir()
        for file in directory.iterdir()
    ]
    process = Path(f"/proc/{pid_of(told, name)}")
    told_to_it = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    assert len(secrets) > 20
    assert not any(secret.encode() in told_to_it for secret in secrets)


@pytest.mark.parametrize("name", sorted(UIDS))
def test_process_runs_unprivileged_under_its_own_uid(told: Told, name: str) -> None:
    status = Path(f"/proc/{pid_of(told, name)}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == [str(UIDS[name])] * 4
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


def test_another_process_cannot_read_a_secret(told: Told) -> None:
    secret = told.stack.layout.secrets / "provisioner-worker" / "sc_scaleway_secret_key"
    child = os.fork()
    if child == 0:
        os.setgid(17300)
        os.setuid(UIDS["dns-worker"])
        try:
            secret.read_text()
        except PermissionError:
            os._exit(13)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 13


@pytest.mark.asvs("3.4.3")
@pytest.mark.parametrize(
    "path", ["/status/", "/status/status.js", "/status/link.js", "/confirm", "/invitation"]
)
def test_page_is_served_with_a_strict_content_policy(told: Told, path: str) -> None:
    answer = fetch(told, path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_api_is_described_and_documented(told: Told) -> None:
    description = fetch(told, "/v1/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    assert "/v1/workspaces/{workspace_id}/servers/{server_id}/cancel" in description["paths"]
    assert "text/html" in fetch(told, "/v1/docs").headers["content-type"]


@pytest.mark.asvs("13.4.5")
def test_an_internal_route_does_not_exist_from_outside(told: Told) -> None:
    assert fetch(told, "/internal/memberships").status_code == 404


def fetch(told: Told, path: str) -> httpx.Response:
    context = ssl.create_default_context(cafile=told.stack.ca_file)
    return httpx.get(told.stack.public_url + path, verify=context)


async def certified_again(story: Story) -> None:
    """Waits until A's host serves a certificate of the authority that the sandbox has now."""

    async def look() -> bool | None:
        post = await story.post()
        try:
            await post.subjects(next(iter(story.a.opened.values())))
        except (ssl.SSLError, OSError):
            return None
        return True

    await until("a certificate from the new root", look, 120, pause=1)


async def test_after_a_stop_and_a_start_old_mail_is_read_and_new_mail_flows(told: Told) -> None:
    await asyncio.to_thread(down, told.stack)
    assert not Cgroup(f"sc-{told.stack.layout.id}").exists()
    assert not told.stack.layout.mounted()
    await asyncio.to_thread(up_when_a_range_is_free, told.stack)
    story = await resume(told.stack)
    try:
        await certified_again(story)
        post = await story.post()
        first, second = story.a.opened.values()
        assert "Question from outside" in await post.subjects(first)
        await post.submit(first, second.address, "After the restart", "Still here.\n")
        message, _ = await post.read(second, "After the restart", 60)
        assert "Still here." in message.get_content()
    finally:
        await story.api.close()
        await story.world.close()


def test_down_finds_everything_after_a_crash(told: Told) -> None:
    layout = told.stack.layout
    group = Cgroup(f"sc-{layout.id}")
    for name in ("sandbox", "provisioner-worker", "gateway"):
        os.kill(pid_of(told, name), signal.SIGKILL)
    assert len(group.pids()) > 20  # servers and daemons go on without the sandbox
    down(told.stack)
    assert not group.exists()
    assert not layout.mounted()
    assert f"sc-{layout.id}" not in os.listdir("/run/netns")
