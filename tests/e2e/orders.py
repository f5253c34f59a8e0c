"""What a customer orders of a server that is there, over the public API, and its machine before and after."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from demo.steps import servers
from demo.steps.c_server import ready
from demo.steps.f_mail import console, delivered, host_log, pair
from demo.steps.g_secrets import sign_in
from demo.story import Evidence, Party, Story
from demo.world import until

KINDS = ("servers", "ips", "volumes", "security_groups")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
MEANWHILE = "Sent meanwhile"
TEXT = "It waits."


@dataclass(frozen=True)
class Machine:
    """`books`: what carries the server's tag at the cloud, ids by kind. `disk` is the volume that it boots from,
    `boot_id` that of its present boot (proc(5))."""

    books: dict[str, list[str]]
    disk: str
    boot_id: str

    @classmethod
    async def of(cls, story: Story, party: Party) -> Machine:
        cloud = await story.world.books("scaleway")
        tag = f"sc-srv:{party.server_id}"
        tagged = {kind: [each for each in cloud[kind] if tag in each["tags"]] for kind in KINDS}
        return cls(
            {kind: [each["id"] for each in found] for kind, found in tagged.items()},
            tagged["servers"][0]["volume"],
            (await console(story, party, "cat", BOOT_ID)).strip(),
        )


@dataclass(frozen=True)
class Change:
    """An order, before and after: `evidence` as of a server that was bought, `letters` from A to B and from B to A."""

    before: Machine
    after: Machine
    evidence: Evidence
    letters: tuple[Evidence, Evidence]

    @property
    def steps(self) -> dict[str, str]:
        return steps(self.evidence["job"])


@dataclass(frozen=True)
class Rebuild(Change):
    """`shown`: the server as the API showed it before. `kept`: what each old password finds in its mailbox.
    `volumes`: every disk at the cloud. `plan`: what had to be applied in the zone. `webmail`: a link that was used."""

    shown: dict[str, Any]
    kept: list[list[str]]
    volumes: list[str]
    plan: dict[str, Any]
    webmail: dict[str, object]


async def order(party: Party, verb: str, **body: Any) -> None:
    """Orders it, and makes the order's job the one that is followed."""
    path = f"{party.path}/servers/{party.server_id}/{verb}"
    accepted = await party.api.expect(202, "POST", path, {"reason": "it hangs", **body})
    party.job_id = accepted["job_id"]


def steps(job: dict[str, Any]) -> dict[str, str]:
    """Names and states of a job's steps, in their order."""
    return {step["name"]: step["state"] for step in job["steps"]}


async def state(party: Party) -> str:
    return str((await party.api.get(f"{party.path}/servers/{party.server_id}"))["state"])


async def mail_both_ways(story: Story, subject: str) -> tuple[Evidence, Evidence]:
    # A's running SMTP clients remember B's TLSA records until their TTL has passed; new ones ask.
    await console(story, story.a, "postfix", "reload")
    other_way = dataclasses.replace(story, a=story.b, b=story.a)
    return await delivered(story, subject), await delivered(other_way, subject)


async def write_to_b(story: Story) -> list[str]:
    """A letter to B while nobody takes it there; returns what A's server says of it."""
    post = await story.post()
    sender, recipient = pair(story)
    sent_at = time.time()
    await post.submit(sender, recipient.address, MEANWHILE, TEXT)
    return await host_log(story, story.a, "status=deferred", sent_at, 60)


async def read_by_b(story: Story) -> str:
    """That letter, once A's server has tried again."""
    await console(story, story.a, "postqueue", "-f")
    message, _ = await (await story.post()).read(pair(story)[1], MEANWHILE, 60)
    return str(message.get_content()).strip()


async def rescue_system_is_up(story: Story, party: Party) -> bool:
    """Whether the system that runs there has come to know its own name, which only the cloud's rescue system has."""

    async def named() -> bool | None:
        return (await console(story, party, "hostname")).startswith("rescue-") or None

    return await until("the rescue system to be up", named, 60)


async def rebooted(story: Story, subject: str = "After the reboot") -> Change:
    """`subject` is that of the letters sent after it."""
    b = story.b
    before = await Machine.of(story, b)
    await order(b, "reboot")
    evidence = await ready(story, b)
    return Change(before, await Machine.of(story, b), evidence, await mail_both_ways(story, subject))


async def rebuilt(story: Story) -> Rebuild:
    """With a letter on its way when the old machine is gone and the new one is not there yet."""
    b, post = story.b, await story.post()
    before = await Machine.of(story, b)
    shown = await b.api.get(f"{b.path}/servers/{b.server_id}")
    await order(b, "rebuild", confirm_name=b.hostname, mail_is_lost=True)
    await servers.follow(b.api, b, b.job_id, until_step="retire_instance")
    await write_to_b(story)
    evidence = await ready(story, b)
    kept = [await post.subjects(mailbox) for mailbox in b.opened.values()]
    plan = await records_applied(b)
    anna = next(iter(b.mailboxes.values()))
    link = await b.api.expect(201, "POST", f"{b.path}/mailboxes/{anna}/webmail-sessions", {})
    return Rebuild(
        before=before,
        after=await Machine.of(story, b),
        evidence=evidence,
        letters=await mail_both_ways(story, "After the rebuild"),
        shown=shown,
        kept=kept,
        volumes=[volume["id"] for volume in (await story.world.books("scaleway"))["volumes"]],
        plan=plan,
        webmail=await sign_in(story, link["action_url"], link["token"]),
    )


async def records_applied(party: Party) -> dict[str, Any]:
    """The zone's plan as it stands after a rebuild, approved; returns it when the domain is ready again."""

    async def planned() -> dict[str, Any] | None:
        plan: dict[str, Any] = await party.api.get(f"{party.path}/zones/{party.zone_id}/plan")
        return plan if plan["state"] == "ready" and plan["creates"] else None

    async def live() -> bool | None:
        return (await party.api.get(f"{party.path}/domains/{party.domain_id}"))["state"] == "ready" or None

    plan = await until(f"a plan with the new keys of {party.domain}", planned, 60)
    approval = {"plan_id": plan["id"]}
    await party.api.expect(202, "POST", f"{party.path}/zones/{party.zone_id}/plan/apply", approval)
    await until(f"{party.domain} to be ready again", live, 120)
    return plan
