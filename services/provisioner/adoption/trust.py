"""Which key the adopted machine has to show. The pin was lost with the books: it comes from a person, or is not needed.

A machine that still shows the one-time key proves itself, since that key is derived from the server's id. One that
shows a key of its own is believed when an operator confirms its fingerprint from a second source. Else it can only be
rebuilt: whatever runs there now is never spoken to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.provisioner.adoption.machine import Machine, NotAdoptable
from services.provisioner.hosts.desired import HostFacts
from services.provisioner.hosts.port import HostAddress, HostError, HostUnreachable
from services.provisioner.reconciler.work import Ports
from services.provisioner.steps.reserve_addresses import host_of
from services.provisioner.steps.ssh_trust import fingerprint

ELSEWHERE = (
    "Compare it with another source than the network (the last `ssh_trust` step of the server's jobs as customers' "
    "webhooks and logs have it, the machine's console), then give it as --host-key; or give --rebuild and the "
    "server's name, and all mail on it is lost."
)


@dataclass(frozen=True)
class Trust:
    """`key` is the pin, `facts` what the host said under it. Without both by `one_time` the machine proves itself
    later, by `rebuild` it is replaced, and by `none` nothing can be done yet."""

    by: Literal["one_time", "confirmed", "rebuild", "none"]
    shown: str | None = None
    key: str | None = None
    facts: HostFacts | None = None


async def establish(
    ports: Ports, server_id: str, machine: Machine, *, host_key: str | None, rebuild: str | None
) -> Trust:
    """`host_key`: the confirmed fingerprint, `SHA256:…`; `rebuild`: the server's name as an operator has typed it.
    Raises NotAdoptable."""
    if rebuild is not None:
        if rebuild != machine.instance.name:
            raise NotAdoptable(f"The machine's name is {machine.instance.name}, not {rebuild}.")
        return Trust("rebuild")
    address = host_of(machine.ips[0])
    shown = await _shown(ports, machine, address)
    if shown is not None and shown == ports.one_time_keys.public(server_id):
        return Trust("one_time", shown)
    if host_key is None:
        return Trust("none", shown)
    if shown is None:
        raise NotAdoptable(f"{machine.instance.name} does not answer at {address}, port 22.")
    if fingerprint(shown) != host_key:
        raise NotAdoptable(
            f"{machine.instance.name} shows {fingerprint(shown)} and not {host_key}. Nothing was sent to it."
        )
    try:
        facts = await ports.host.facts(HostAddress(server_id, address, shown))
    except HostError as error:
        raise NotAdoptable(f"{machine.instance.name} does not say what it is: {error}.") from error
    if (facts.server_id, facts.hostname) != (server_id, machine.instance.name):
        raise NotAdoptable(f"The host says that it is {facts.hostname}, server {facts.server_id}.")
    return Trust("confirmed", shown, shown, facts)


async def _shown(ports: Ports, machine: Machine, address: str) -> str | None:
    if machine.instance.state != "running" or machine.instance.boot_type != "local":
        return None
    try:
        return await ports.host.shown_key(address)
    except HostUnreachable:
        return None
