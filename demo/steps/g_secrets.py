"""g. Credentials leave once by a one-time link, on record; a webmail link signs in once."""

from __future__ import annotations

import csv
import io
from datetime import datetime

from demo.mail import Mailbox
from demo.story import Check, Evidence, Step, Story
from demo.web import Browser
from demo.world import until


async def collect(story: Story, since: float = 0) -> Evidence:
    """`since`, Unix time: rows of the audit log before it are somebody else's story."""
    a = story.a
    made = await a.api.send("POST", f"{a.path}/exports", {"format": "csv", "reason": "moving to a sequencer"})
    own = f"{a.path}/exports/{made.json['id']}"
    path = f"{own}/download"

    async def set_up() -> bool | None:
        return (await a.api.get(own))["waiting"] == 0 or None

    await until("the app passwords of the export on their servers", set_up, story.patience)
    first = await a.api.send("POST", path, {"token": made.json["token"]})
    second = await a.api.send("POST", path, {"token": made.json["token"]})
    exported = list(csv.DictReader(io.StringIO(first.body.decode())))
    post = await story.post()
    boxes = [Mailbox(row["address"], row["password"], row["imap_host"]) for row in exported]
    address, mailbox_id = next(iter(a.mailboxes.items()))
    link = await a.api.send("POST", f"{a.path}/mailboxes/{mailbox_id}/webmail-sessions", {})
    webmail = [await sign_in(story, link.json["action_url"], link.json["token"]) for _ in range(2)]

    async def exports_logged() -> list[dict[str, object]] | None:
        rows = [row for row in await a.api.items(f"{a.path}/audit") if is_export(row, since)]
        return rows if {"ok", "denied"} <= {row["outcome"] for row in rows} else None

    return {
        "export": made.shown,
        "first_status": first.status,
        "first_headers": first.headers,
        # Whether each password opens its mailbox is recorded, the passwords are not.
        "exported": [row["address"] for row in exported],
        "exported_open": [await post.signs_in(box) for box in boxes],
        "exported_own_passwords": [
            row["address"] for row in exported if row["password"] == a.opened[row["address"]].password
        ],
        "second": second.shown,
        "webmail_address": address,
        "webmail": webmail,
        "audit": await until("the export in the audit log", exports_logged, story.patience),
        "me": (await a.api.get("/v1/me"))["id"],
    }


def is_export(row: dict[str, str], since: float) -> bool:
    """Whether the audit row tells of an export, made after `since`."""
    return row["action"].startswith("vault.export") and datetime.fromisoformat(row["at"]).timestamp() >= since


async def sign_in(story: Story, url: str, token: str) -> dict[str, object]:
    """Posts the token as the dashboard's form would, in a fresh browser, and looks at what comes up."""
    browser = await story.browser()
    answer = await browser.send("POST", url, {"token": token})
    inbox = await signed_in(browser, url)
    await browser.close()
    return {
        "status": answer.status,
        "location": answer.headers.get("location", ""),
        "signed_in": inbox,
    }


async def signed_in(browser: Browser, url: str) -> bool:
    """Whether webmail, whose links lead to `url`, shows this browser a mailbox."""
    inbox = await browser.send("GET", url.split("/?")[0] + "/?_task=mail")
    return inbox.status == 200 and "_task=logout" in inbox.text


def judge(evidence: Evidence) -> list[Check]:
    ok = [row for row in evidence["audit"] if row["outcome"] == "ok"]
    denied = [row for row in evidence["audit"] if row["outcome"] == "denied"]
    first, second = evidence["webmail"]
    return [
        Check(
            "credentials are exported once",
            evidence["first_status"] == 200 and len(evidence["exported"]) == 2,
            f"{len(evidence['exported'])} mailboxes",
        ),
        Check(
            "what was exported signs in, and is not the mailboxes' own password",
            evidence["exported_open"] == [True, True] and not evidence["exported_own_passwords"],
            ", ".join(evidence["exported"]),
        ),
        Check(
            "the file is not cached",
            evidence["first_headers"].get("cache-control") == "no-store",
            evidence["first_headers"].get("cache-control", ""),
        ),
        Check(
            "the second use is refused",
            evidence["second"]["status"] == 410,
            f"{evidence['second']['status']}",
        ),
        Check(
            "the audit log shows who, when and why",
            any(row["actor_id"] == evidence["me"] and row["at"] and row["reason"] for row in ok)
            and bool(denied),
            "; ".join(
                f"{row['at']} {row['action']} {row['outcome']} ({row['reason']})"
                for row in evidence["audit"][:3]
            ),
        ),
        Check(
            "a webmail link signs in once",
            bool(first["signed_in"]),
            f"{evidence['webmail_address']}: {first['status']}",
        ),
        Check(
            "its second use is refused",
            not second["signed_in"] and second["status"] in (401, 403, 200, 302),
            f"answered {second['status']}",
        ),
    ]


STEP = Step("g", "Secrets: one-time export, audit, one-time webmail", collect, judge)
