"""a. A new user signs up, makes workspace A, sees prices, and invites a Member by a single-use link."""

from __future__ import annotations

from demo.steps.people import second_factor, sign_up, token_of
from demo.story import Check, Evidence, Step, Story, new_password


async def collect(story: Story) -> Evidence:
    a = story.a
    a.owner, account = await sign_up(story, "Ada Owner", a.email, a.password)
    made = await a.api.send("POST", "/v1/workspaces", {"name": a.workspace_name})
    a.workspace_id = made.json["id"]
    regions = await a.api.send("GET", "/v1/regions")
    invited = await a.api.send(
        "POST", f"{a.path}/invitations", {"email": story.member_email, "role": "member"}
    )
    password = new_password()
    story.member, member_account = await sign_up(story, "Mia Member", story.member_email, password)
    token = token_of(await story.letter(story.member_email, "/invitation#"))
    accepted = await story.member.send("POST", "/v1/invitations/accept", {"token": token})
    again = await story.member.send("POST", "/v1/invitations/accept", {"token": token})
    return {
        "owner": account,
        "workspace": made.shown,
        "regions": regions.shown,
        "invitation": invited.shown,
        "member": member_account,
        "accepted": accepted.shown,
        "accepted_again": again.shown,
        "second_factor": await second_factor(story, story.member, story.member_email, password),
        "members": (await a.api.send("GET", f"{a.path}/members")).shown,
    }


def judge(evidence: Evidence) -> list[Check]:
    owner, factor = evidence["owner"], evidence["second_factor"]
    zones = {zone["id"]: zone for region in evidence["regions"]["body"]["items"] for zone in region["zones"]}
    roles = sorted(member["role"] for member in evidence["members"]["body"]["items"])
    return [
        Check(
            "an unconfirmed address cannot sign in",
            owner["sign_in_before_confirmation"]["status"] in (401, 403),
            f"answered {owner['sign_in_before_confirmation']['status']}",
        ),
        Check(
            "the address is confirmed by the link in the mail",
            owner["confirm"]["status"] in (200, 204),
            f"answered {owner['confirm']['status']}, the second use {owner['confirm_again']['status']}",
        ),
        Check("the owner is signed in", owner["me"]["status"] == 200, owner["me"]["body"].get("email", "")),
        Check(
            "workspace A exists",
            evidence["workspace"]["status"] == 201,
            evidence["workspace"]["body"].get("id", ""),
        ),
        Check(
            "regions and prices are shown", {"fr-par-1", "nl-ams-1"} <= set(zones), ", ".join(sorted(zones))
        ),
        Check(
            "the invitation is accepted once",
            evidence["accepted"]["status"] in (200, 201),
            f"answered {evidence['accepted']['status']}",
        ),
        Check(
            "its second use is refused",
            400 <= evidence["accepted_again"]["status"] < 500,
            f"answered {evidence['accepted_again']['status']}",
        ),
        Check(
            "the Member's second factor is asked for, and a recovery code stands in for it",
            factor["without_code"]["body"].get("code") == "second_factor_required"
            and factor["with_code"]["status"] == 201,
            f"answered {factor['without_code']['status']} without, {factor['with_code']['status']} with a code",
        ),
        Check("one Owner and one Member", roles == ["member", "owner"], ", ".join(roles)),
    ]


STEP = Step("a", "People: sign-up, workspace, prices, an invited Member", collect, judge)
