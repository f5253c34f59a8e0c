"""f. Mail from A to B, proven by DANE and two DKIM keys; a wrong TLSA defers; a plain third host writes and bounces."""

from __future__ import annotations

import time
from typing import Any

from demo.mail import Mailbox
from demo.story import Check, Evidence, Party, Step, Story
from demo.world import until

OUTSIDER = "reporter@outside.test"


def pair(story: Story) -> tuple[Mailbox, Mailbox]:
    """A's sender and B's recipient."""
    return next(iter(story.a.opened.values())), next(iter(story.b.opened.values()))


async def console(story: Story, party: Party, *argv: str) -> str:
    """What a command prints at the server's console, which the sandbox offers as a cloud would."""
    books = await story.world.books("scaleway")
    instance = next(s["id"] for s in books["servers"] if f"sc-srv:{party.server_id}" in s["tags"])
    printed = await story.world.call("POST", f"/hosts/{instance}/console", {"argv": list(argv)})
    return str(printed["stdout"])


async def host_log(
    story: Story, party: Party, contains: str, since: float = 0, seconds: float = 20
) -> list[str]:
    """The host's log of outgoing mail since that Unix time, once a line of it holds `contains`."""
    wanted = ("-t", "postfix/smtp", "-o", "cat", "-n", "200", f"--since=@{int(since)}")

    async def look() -> list[str] | None:
        log = await console(story, party, "journalctl", "--no-pager", *wanted)
        return log.splitlines() if contains in log else None

    return await until(f"{contains!r} in the mail log of {party.hostname}", look, seconds)


async def delivered(story: Story, subject: str = "Hello from A") -> Evidence:
    """One message from A to B, timed from submission to being read."""
    post = await story.post()
    sender, recipient = pair(story)
    sent_at, started = time.time(), time.monotonic()
    message_id = await post.submit(sender, recipient.address, subject, "A first letter, quite ordinary.\n")
    message, _ = await post.read(recipient, subject)
    seconds = time.monotonic() - started
    story.timings["submit_to_imap_s"] = round(seconds, 2)
    lines = await host_log(story, story.a, f"to=<{recipient.address}>", sent_at)
    return {
        "message_id": message_id,
        "seconds": seconds,
        "authentication_results": [str(h) for h in message.get_all("Authentication-Results", [])],
        "received": [str(h) for h in message.get_all("Received", [])],
        "dkim_signatures": [str(h) for h in message.get_all("DKIM-Signature", [])],
        "text": message.get_content(),
        "sender_log": lines[-40:],
    }


async def deferred(story: Story) -> Evidence:
    """A wrong TLSA at B: the next message waits, and arrives after the repair."""
    post = await story.post()
    sender, recipient = pair(story)
    name = f"_25._tcp.{story.b.hostname}"
    planted = await story.world.call(
        "PUT", "/dns/records", {"name": name, "type": "TLSA", "values": ["3 1 1 " + "00" * 32]}
    )
    # A's running SMTP clients remember TLSA records until their TTL has passed; new ones ask.
    await console(story, story.a, "postfix", "reload")
    await post.submit(sender, recipient.address, "Sealed letter", "This one waits for a true TLSA record.\n")
    waiting = await host_log(story, story.a, "dsn=4.7.5", seconds=60)
    before = await post.subjects(recipient)
    await story.world.call("DELETE", f"/dns/records?name={name}&type=TLSA")
    await console(story, story.a, "postfix", "reload")
    await console(story, story.a, "postqueue", "-f")
    message, _ = await post.read(recipient, "Sealed letter", 60)
    return {
        "planted": planted,
        "log": [line for line in waiting if "dsn=4.7.5" in line][-4:],
        "in_b_before_repair": before,
        "text": message.get_content(),
    }


async def third_host(story: Story) -> Evidence:
    """A plain host without DANE writes to A, gets a reply, and a bounce for a user whom nobody knows."""
    post = await story.post()
    mailbox, _ = pair(story)
    sent = await story.world.call(
        "POST",
        "/mail/outside/send",
        {
            "from": OUTSIDER,
            "to": mailbox.address,
            "subject": "Question from outside",
            "body": "Are you there?",
        },
    )
    question, _ = await post.read(mailbox, "Question from outside")
    await post.submit(mailbox, OUTSIDER, "Re: Question from outside", "Yes, I am.\n")
    await post.submit(mailbox, "nobody@outside.test", "To nobody", "Does anybody read this?\n")
    bounce, _ = await post.read(mailbox, "Undelivered Mail Returned to Sender", 40)
    refused = await story.world.call(
        "POST",
        "/mail/outside/send",
        {"from": OUTSIDER, "to": f"nobody@{story.a.domain}", "subject": "Wrong address", "body": "Hello?"},
    )

    async def reply() -> dict[str, Any] | None:
        found = await story.world.call("GET", "/mail/outside/messages")
        return next((m for m in found if m["subject"].startswith("Re: Question")), None)

    report = next(
        (part for part in bounce.walk() if part.get_content_type() == "message/delivery-status"), None
    )
    return {
        "sent": sent,
        "question": question.get_content(),
        "reply": await until("the reply at the outside host", reply, 30),
        "bounce_from": str(bounce["From"]),
        "bounce_report": str(report),
        "unknown_user_refused": refused,
    }


async def collect(story: Story) -> Evidence:
    return {
        "delivered": await delivered(story),
        "deferred": await deferred(story),
        "third": await third_host(story),
    }


def judge(evidence: Evidence) -> list[Check]:
    first, second, third = evidence["delivered"], evidence["deferred"], evidence["third"]
    results = " ".join(first["authentication_results"])
    verified = [line for line in first["sender_log"] if "Verified TLS connection established" in line]
    return [
        Check(
            "A verified B by DANE", bool(verified), verified[-1][-160:] if verified else "no such log line"
        ),
        Check(
            "both DKIM keys, SPF and DMARC pass",
            results.count("dkim=pass") == 2 and "spf=pass" in results and "dmarc=pass" in results,
            " ".join(results.split())[:200],
        ),
        Check(
            "the text arrived over IMAPS",
            "A first letter" in first["text"],
            f"{first['seconds']:.2f} s from submission to reading",
        ),
        Check(
            "a wrong TLSA defers the next message",
            bool(second["log"]) and "Sealed letter" not in second["in_b_before_repair"],
            second["log"][-1][-120:] if second["log"] else "never deferred",
        ),
        Check("after the repair it is delivered", "true TLSA" in second["text"], "read in B's mailbox"),
        Check(
            "a plain host without DANE can write and is answered",
            "Are you there?" in third["question"] and "Yes, I am." in third["reply"]["text"],
            third["reply"]["subject"],
        ),
        Check(
            "an unknown user there brings a proper bounce",
            "Action: failed" in third["bounce_report"] and "Status: 5." in third["bounce_report"],
            third["bounce_from"],
        ),
        Check(
            "an unknown user here is refused at once",
            third["unknown_user_refused"]["code"] == 550,
            f"answered {third['unknown_user_refused']['code']}",
        ),
    ]


STEP = Step("f", "Mail: DANE, DKIM, SPF, DMARC; deferral; the outside", collect, judge)
