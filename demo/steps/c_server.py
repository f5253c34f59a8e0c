"""c. A real Debian server boots, is hardened, certified, named and tested, and becomes Ready."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.reversename

from demo.steps import servers
from demo.story import Check, Evidence, Party, Step, Story

LAYERS = {"encryption", "authentication", "dns", "hardening", "compliance"}


def ask(resolver: str, name: str, kind: str) -> dict[str, Any]:
    """What the validating resolver says: values, and whether it vouches for them (AD, RFC 4035)."""
    query = dns.message.make_query(name, kind, want_dnssec=True)
    query.flags |= dns.flags.AD
    answer, _ = dns.query.udp_with_fallback(query, resolver, timeout=10)
    values = [
        rdata.to_text()
        for rrset in answer.answer
        if rrset.rdtype == dns.rdatatype.from_text(kind)
        for rdata in rrset
    ]
    return {"name": name, "type": kind, "values": sorted(values), "ad": bool(answer.flags & dns.flags.AD)}


def names_of(story: Story, hostname: str, ipv4: str, ipv6: str) -> list[dict[str, Any]]:
    """Forward, reverse and TLSA records of a host."""
    resolver = story.world.endpoints["resolver"]
    wanted = [
        (hostname, "A"),
        (hostname, "AAAA"),
        (f"_25._tcp.{hostname}", "TLSA"),
        (dns.reversename.from_address(ipv4).to_text(), "PTR"),
        (dns.reversename.from_address(ipv6).to_text(), "PTR"),
    ]
    return [ask(resolver, name, kind) for name, kind in wanted]


async def ready(story: Story, party: Party) -> Evidence:
    """Follows the job to its end and looks at the server from all sides."""
    events = await servers.follow(party.api, party, party.job_id)
    story.timings.setdefault("paid_to_ready_s", []).append(round(events[-1].at - party.paid_at, 1))
    server = await party.api.get(f"{party.path}/servers/{party.server_id}")
    books = await story.world.books("scaleway")
    instance = next(s for s in books["servers"] if f"sc-srv:{party.server_id}" in s["tags"])
    host = await story.world.call("GET", f"/hosts/{instance['id']}")
    return {
        "stream": servers.told(events),
        "server": server,
        "job": await party.api.get(f"{party.path}/jobs/{party.job_id}"),
        "instance": instance,
        "host": host,
        "dns": names_of(story, server["hostname"], server["ipv4"], server["ipv6"]),
        "names": (await party.api.send("GET", f"{party.path}/servers/{party.server_id}/names")).shown,
    }


def ready_checks(evidence: Evidence) -> list[Check]:
    """What holds for any server that says it is Ready."""
    server, answers = evidence["server"], {(a["name"], a["type"]): a for a in evidence["dns"]}
    hostname = server["hostname"]
    reverse = [a for a in evidence["dns"] if a["type"] == "PTR"]
    tlsa = answers[(f"_25._tcp.{hostname}", "TLSA")]
    rows = server["evidence"]["self_test"]
    failed = [row["id"] for row in rows if not row["ok"]]
    conditions = {condition["type"]: condition["status"] for condition in server["conditions"]}
    final = evidence["stream"][-1]
    return [
        Check(
            "a Debian 13 server runs",
            evidence["host"]["os_release"].startswith("Debian GNU/Linux 13"),
            f"{evidence['host']['os_release']}, cloud-init {evidence['host']['cloud_init']}",
        ),
        Check(
            "the pinned SSH host key is the server's own",
            conditions.get("SshTrusted") == "true"
            and server["ssh_host_key_sha256"] == evidence["host"]["ssh_host_key_sha256"],
            server["ssh_host_key_sha256"],
        ),
        Check(
            "forward names are live and signed",
            answers[(hostname, "A")]["values"] == [server["ipv4"]]
            and answers[(hostname, "A")]["ad"]
            and answers[(hostname, "AAAA")]["values"] == [server["ipv6"]],
            f"{hostname} {server['ipv4']} {server['ipv6']} (AD)",
        ),
        Check(
            "PTR of both addresses point back",
            all(a["values"] == [f"{hostname}."] for a in reverse),
            ", ".join(a["name"] for a in reverse),
        ),
        Check(
            "TLSA of the current and the next key, signed",
            tlsa["ad"]
            and len({value.lower() for value in tlsa["values"]}) == 2
            and all(value.startswith("3 1 1 ") for value in tlsa["values"]),
            " | ".join(tlsa["values"]),
        ),
        Check(
            "the self-test passed in all five layers",
            not failed and {row["layer"] for row in rows} >= LAYERS,
            f"{len(rows)} rows, failed: {failed or 'none'}",
        ),
        Check(
            "the stream ended with Ready",
            final["event"] == "job" and final["data"]["state"] == "ok" and conditions.get("Ready") == "true",
            f"state {final['data'].get('state')}",
        ),
    ]


async def collect(story: Story) -> Evidence:
    return await ready(story, story.a)


def judge(evidence: Evidence) -> list[Check]:
    return ready_checks(evidence)


STEP = Step("c", "A real server, hardened, named, certified, tested, Ready", collect, judge)
