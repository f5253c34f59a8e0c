"""`python -m tests.e2e.capture STACK OUT`: the story in a network namespace of its own, with every packet looked at.

Started by `test_capture.py` under `unshare --net`, so that nothing but this stack is on any interface: `lo`, and the
control plane's link to the sandbox's world. While the story is told all keys and the internal authority are rotated.
The outcome is written to OUT as JSON.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from demo.__main__ import tell_all
from infra.local.key_rotation import rotate
from infra.local.layout import Layout
from infra.local.rotate import plan
from infra.local.stack import Stack
from infra.local.stop import clean
from tests.e2e.conftest import up_when_a_range_is_free
from tests.e2e.sniffer import Sniffer

ROTATED = ("ca", "access", "gateway", "provisioner", "dns")
BEFORE_STARTTLS = "SMTP before STARTTLS, with customers' servers"
EXCEPTIONS = {
    25: BEFORE_STARTTLS,
    587: BEFORE_STARTTLS,
    80: "customers' servers answer on port 80, with a redirect; the self-test looks that it is one",
    53: "DNS",
    8081: "the outside world's own: the sandbox's Cloudflare tells its PowerDNS",
}


def planted() -> bool:
    """Whether the sniffer sees an HTTP exchange on loopback that is in the clear, as it must."""
    sniffer = Sniffer({}, {})
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    serving = threading.Thread(target=server.handle_request)
    sniffer.start()
    serving.start()
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=10).read()
    serving.join()
    server.server_close()
    seen = sniffer.stop()
    return {said.protocol for said in seen.clear} == {"HTTP"} and bool(seen.unknown)


def rotate_one(stack: Stack, key: str) -> str:
    return asyncio.run(rotate(*plan(stack, key)))


async def told(stack: Stack) -> tuple[dict[str, bool], dict[str, str]]:
    """Whether each step held, and the keys in use after all of them were replaced: the authority first, since the
    story's client of the public API reads it once as browsers do, the others while the story is told."""
    first, *others = ROTATED
    names = {first: await asyncio.to_thread(rotate_one, stack, first)}
    telling = asyncio.create_task(tell_all(stack, 0.0))
    for key in others:
        await asyncio.sleep(5)
        names[key] = await asyncio.to_thread(rotate_one, stack, key)
    return {outcome.id: outcome.ok for outcome in await telling}, names


def listeners() -> list[int]:
    """TCP ports that somebody listens on in this namespace."""
    ports = set()
    for file in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return sorted(ports)


def answer_in_the_clear(port: int, said: bytes) -> str:
    """The first bytes that a listener answers to a client without TLS; `nothing` when it hangs up or is silent."""
    try:
        with socket.create_connection(("127.0.0.1", port), 3) as client:
            client.settimeout(3)
            client.sendall(said)
            return repr(client.recv(64)) if said else "nothing"
    except OSError as error:
        return f"nothing ({type(error).__name__})"


def main(name: str, out: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    stack = Stack(Layout(name))
    found: dict[str, Any] = {"planted_is_seen": planted()}
    clean(stack)
    stack.layout.bind()
    erlang = [stack.rabbit.ports[what] for what in ("dist", "epmd")]
    sniffer = Sniffer(EXCEPTIONS, dict.fromkeys(erlang, "Erlang's own, inside the RabbitMQ node"))
    sniffer.start()
    try:
        up_when_a_range_is_free(stack)
        found["steps"], found["rotated"] = asyncio.run(told(stack))
        seen = sniffer.stop()
        found |= {
            "packets": seen.packets,
            "drops": seen.drops,
            "begins": dict(seen.begins),
            "clear": sorted({str(said) for said in seen.clear}),
            "unknown": sorted({str(said) for said in seen.unknown}),
        }
        amqp = stack.rabbit.ports["amqp"]
        found["amqp"] = answer_in_the_clear(amqp, b"AMQP\x00\x00\x09\x01")
        found["http"] = {
            str(port): answer_in_the_clear(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for port in listeners()
            if port not in erlang
        }
        found["postgres"] = {
            str(port): answer_in_the_clear(port, b"\x00\x00\x00\x08\x04\xd2\x16\x2f") for port in listeners()
        }
    finally:
        if sniffer._thread.is_alive():
            sniffer.stop()
        out.write_text(json.dumps(found, indent=2))
        shutil.copytree(stack.layout.logs, out.with_name("logs"), dirs_exist_ok=True)
        clean(stack)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
