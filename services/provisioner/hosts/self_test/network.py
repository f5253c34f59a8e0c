"""Rows about who can reach what: listeners, firewall, SSH."""

from __future__ import annotations

import asyncio
from typing import Literal

import asyncssh

from services.provisioner.hosts.self_test.checks import CLOSED_PORTS, OPEN_PORTS, CheckResult, SelfTestTarget
from services.provisioner.hosts.self_test.rows import row

Reached = Literal["open", "refused", "silent"]
_SILENCE_SECONDS = 1.0


async def _reach(address: str, port: int, seconds: float) -> Reached:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return "silent"
    except OSError:
        return "refused"
    writer.close()
    return "open"


async def _ports(target: SelfTestTarget, address: str) -> dict[int, Reached]:
    async def one(port: int) -> tuple[int, Reached]:
        seconds = target.timeout_seconds if port in OPEN_PORTS else _SILENCE_SECONDS
        return port, await _reach(address, port, seconds)

    return dict(await asyncio.gather(*(one(port) for port in (*OPEN_PORTS, *CLOSED_PORTS))))


async def reachability(target: SelfTestTarget) -> list[CheckResult]:
    """Listeners per family, and the proof that everything else is dropped rather than answered."""
    rows, silent, evidence = [], True, []
    for family, address in (("IPv4", target.ipv4), ("IPv6", target.ipv6)):
        states = await _ports(target, address)
        opened = sorted(port for port, state in states.items() if state == "open")
        answered = sorted(port for port in CLOSED_PORTS if states[port] != "silent")
        silent = silent and not answered
        evidence.append(f"{family}: answered on {answered or 'none'} of {len(CLOSED_PORTS)} other ports")
        rows.append(
            row(
                f"listeners_{family.lower()}",
                ok=opened == list(OPEN_PORTS),
                evidence=f"{address}: open {opened}; probed {sorted(states)}",
            )
        )
    inside = {(listener.address, listener.port) for listener in target.facts.listeners}
    public = sorted({port for address, port in inside if address not in ("127.0.0.1", "::1")})
    rows.append(row("listeners_inside", ok=public == list(OPEN_PORTS), evidence=f"not on loopback: {public}"))
    rows.append(row("firewall_drops", ok=silent, evidence="; ".join(evidence)))
    return rows


class _Methods(asyncssh.SSHClient):
    """Learns which sign-in methods the server offers."""

    def __init__(self) -> None:
        self.password_offered = False

    def password_auth_requested(self) -> None:
        self.password_offered = True

    def kbdint_auth_requested(self) -> None:
        self.password_offered = True


async def ssh(target: SelfTestTarget) -> list[CheckResult]:
    """A stranger without a certificate is not let in, and passwords are not even asked for."""
    client = _Methods()
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    pinned = asyncssh.import_public_key(target.host.pinned_host_key)
    let_in, said = False, ""
    try:
        async with asyncio.timeout(target.timeout_seconds * 2):
            connection, _ = await asyncssh.create_connection(
                lambda: client,
                target.host.address,
                target.host.port,
                username="scadmin",
                client_keys=[stranger],
                known_hosts=([pinned], [], []),
                agent_path=None,
                config=[],
                gss_host=None,
            )
        let_in = True
        connection.abort()
    except asyncssh.PermissionDenied as error:
        said = str(error)
    return [
        row(
            "ssh_certificates_only",
            ok=not let_in and not client.password_offered and bool(said),
            evidence=f"let in: {let_in}; password offered: {client.password_offered}; {said}",
        )
    ]
