"""The console of a server, as a cloud offers one: what it is, and commands run as its root.

Part of the control API; and for people:

    python -m sandbox.hosts.console --dir var/demo/sandbox                   list the servers
    python -m sandbox.hosts.console --dir var/demo/sandbox <server> [-- command ...]

The product never sees it.
"""

from __future__ import annotations

import argparse
import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from sandbox.hosts.fleet import Hosts
from sandbox.hosts.instance import Instance

# One line each: the system's name, whether cloud-init ran, the fingerprint of the SSH host key.
FACTS_SCRIPT = """\
. /etc/os-release; echo "$PRETTY_NAME"
cloud-init status | sed 's/^status: //'
ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2
systemctl is-system-running || true
"""


class Command(BaseModel):
    """An argument list; no shell is put around it."""

    model_config = ConfigDict(extra="forbid")

    argv: list[str] = Field(min_length=1, max_length=64)


def create_router(hosts: Hosts) -> APIRouter:
    """`/hosts` of the control API."""
    router = APIRouter(prefix="/hosts")

    def found(identifier: str) -> Instance:
        instance = hosts.get(identifier)
        if instance is None:
            raise HTTPException(404, f"no server has the id {identifier}")
        return instance

    @router.get("")
    async def servers() -> list[dict[str, Any]]:
        return [summary(instance) for instance in hosts.all()]

    @router.get("/{identifier}")
    async def facts(identifier: str) -> dict[str, Any]:
        instance = found(identifier)
        try:
            printed = (await instance.run_inside(["sh", "-c", FACTS_SCRIPT])).splitlines()
        except RuntimeError as error:
            raise HTTPException(409, str(error)) from error
        names = ("os_release", "cloud_init", "ssh_host_key_sha256", "system")
        return summary(instance) | dict(zip(names, printed, strict=False))

    @router.get("/{identifier}/pid")
    async def pid(identifier: str) -> dict[str, int]:
        """Process 1 of the server, as this machine numbers it: for a person's nsenter."""
        number = found(identifier).guest_pid()
        if number is None:
            raise HTTPException(409, f"server {identifier} is off")
        return {"pid": number}

    @router.post("/{identifier}/console")
    async def console(identifier: str, command: Command) -> dict[str, str]:
        try:
            return {"stdout": await found(identifier).run_inside(command.argv)}
        except RuntimeError as error:
            raise HTTPException(409, str(error)) from error

    return router


def summary(instance: Instance) -> dict[str, Any]:
    record = instance.record
    return {
        "id": record.id,
        "hostname": record.hostname,
        "state": instance.state,
        "addresses": [str(address) for address in (*record.v4, *record.v6)],
        "console_log": str(instance.console),
    }


def ask(endpoints: dict[str, Any], method: str, path: str, body: Any = None) -> Any:
    """One call of the control API of a running sandbox."""
    request = urllib.request.Request(  # noqa: S310 - the scheme is https, from the sandbox's own file
        endpoints["control"] + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={
            "Authorization": f"Bearer {endpoints['control_token']}",
            "Content-Type": "application/json",
        },
    )
    context = ssl.create_default_context(cafile=endpoints["ca_file"])
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:  # noqa: S310
        return json.load(answer)


def shell(endpoints: dict[str, Any], wanted: str, argv: list[str]) -> int:
    """Runs a command in the server with this id or host name; without one, an interactive shell."""
    servers = ask(endpoints, "GET", "/hosts")
    server = next((s for s in servers if wanted in (s["id"], s["hostname"])), None)
    if server is None:
        print(
            f"no server is called {wanted}; there are: {', '.join(s['hostname'] for s in servers)}",
            file=sys.stderr,
        )
        return 1
    if argv:
        print(ask(endpoints, "POST", f"/hosts/{server['id']}/console", {"argv": argv})["stdout"], end="")
        return 0
    pid = ask(endpoints, "GET", f"/hosts/{server['id']}/pid")["pid"]
    return subprocess.call(["nsenter", f"--target={pid}", "--all", "--", "/bin/bash", "-l"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.hosts.console", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the sandbox's folder, var/<stack>/sandbox")
    parser.add_argument("server", nargs="?", help="id or host name; without it the servers are listed")
    parser.add_argument("argv", nargs=argparse.REMAINDER, help="a command after --; without it a shell")
    arguments = parser.parse_args()
    endpoints = json.loads((arguments.dir / "endpoints.json").read_text())
    if arguments.server is None:
        for server in ask(endpoints, "GET", "/hosts"):
            print(
                f"{server['id']}  {server['state']:8} {server['hostname']:28} {' '.join(server['addresses'])}"
            )
        return 0
    return shell(endpoints, arguments.server, [word for word in arguments.argv if word != "--"])


if __name__ == "__main__":
    sys.exit(main())
