"""d. The Owner proves a domain, sees the DNS plan, applies it, and makes two mailboxes."""

from __future__ import annotations

from typing import Any

from demo.steps import domains
from demo.story import Check, Evidence, Party, Step, Story

ACCEPTED = 250  # RFC 5321, 4.2.3


async def settle(story: Story, party: Party) -> Evidence:
    """Proof, plan, records and mailboxes of one customer."""
    evidence = await domains.prove(story, party)
    evidence |= await domains.publish(story, party)
    evidence |= await domains.mailboxes(party, ("anna", "otto"))
    await domains.open_mailboxes(party)
    evidence["reports"] = [await report_accepted(story, party, local) for local in ("dmarc", "tlsrpt")]
    browser = await story.browser()
    policy = await browser.send("GET", f"https://mta-sts.{party.domain}/.well-known/mta-sts.txt")
    await browser.close()
    evidence["mta_sts_policy"] = {"status": policy.status, "body": policy.text}
    return evidence


async def report_accepted(story: Story, party: Party, local: str) -> dict[str, Any]:
    """Sends a report-like mail from the outside host to one of our report addresses."""
    address = f"{local}@{party.hostname}"
    sent = await story.world.call(
        "POST",
        "/mail/outside/send",
        {
            "from": "reporter@outside.test",
            "to": address,
            "subject": f"Report domain: {party.domain}",
            "body": "report",
        },
    )
    return {"address": address, **sent}


def settled_checks(evidence: Evidence) -> list[Check]:
    """What holds for any domain that is said to be live."""
    live = {(answer["name"], answer["type"]): answer["values"] for answer in evidence["live"]}
    domain = evidence["domain"]["name"]
    states = {(r["name"], r["type"]): r["state"] for r in evidence["records"]}
    dkim = sorted(name for name, kind in states if "._domainkey." in name and kind == "TXT")
    text = {name: " ".join(values) for (name, kind), values in live.items() if kind == "TXT"}
    boxes = evidence["mailboxes"]
    return [
        Check("control of the domain is proven", evidence["proven"]["state"] == "proven", domain),
        Check(
            "the plan creates ours and touches nothing else",
            len(evidence["plan"]["creates"]) >= 10
            and not evidence["plan"]["deletes"]
            and not evidence["plan"]["updates"],
            f"{len(evidence['plan']['creates'])} records to create",
        ),
        Check(
            "foreign records are as before",
            evidence["foreign_before"] == evidence["foreign_after"] != [],
            ", ".join(f"{r['name']} {r['type']}" for r in evidence["foreign_after"]),
        ),
        Check(
            "all records are verified",
            set(states.values()) == {"verified"} and evidence["job"]["state"] == "ok",
            f"{len(states)} record sets",
        ),
        Check(
            "MX, SPF, DMARC, MTA-STS, TLS-RPT, SRV and autoconfig are live",
            bool(live[(domain, "MX")])
            and "v=spf1" in text[domain]
            and "p=reject" in text[f"_dmarc.{domain}"]
            and "v=STSv1" in text[f"_mta-sts.{domain}"]
            and "v=TLSRPTv1" in text[f"_smtp._tls.{domain}"]
            and bool(live[(f"_submissions._tcp.{domain}", "SRV")])
            and bool(live[(f"autoconfig.{domain}", "CNAME")]),
            f"{live[(domain, 'MX')]}",
        ),
        Check("two DKIM keys", len(dkim) == 2, ", ".join(dkim)),
        Check(
            "the MTA-STS policy is served over verified HTTPS",
            "mode: enforce" in evidence["mta_sts_policy"]["body"],
            evidence["mta_sts_policy"]["body"].replace("\n", " ")[:80],
        ),
        Check(
            "reports are delivered to us",
            all(r["code"] == ACCEPTED for r in evidence["reports"]),
            ", ".join(f"{r['address']} {r['code']}" for r in evidence["reports"]),
        ),
        Check(
            "two mailboxes work",
            len(boxes) == 2 and all(b["state"] == "active" for b in boxes),
            ", ".join(b["address"] for b in boxes),
        ),
        Check(
            "client settings are shown",
            all(
                b["client_settings"]["submission"]["port"] == 465
                and b["client_settings"]["imap"]["port"] == 993
                for b in boxes
            ),
            "465 and 993, implicit TLS",
        ),
    ]


async def collect(story: Story) -> Evidence:
    return await settle(story, story.a)


def judge(evidence: Evidence) -> list[Check]:
    return settled_checks(evidence)


STEP = Step("d", "A proven domain, its records, two mailboxes", collect, judge)
