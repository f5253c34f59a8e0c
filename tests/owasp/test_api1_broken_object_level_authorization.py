"""API1:2023 Broken Object Level Authorization: an id in hand opens nothing.

`tests/isolation` asks every route for foreign and unknown ids. Here are the ways round that: somebody who has
rights in two workspaces, ids that are counted, cursors and remembered answers of others.
"""

from __future__ import annotations

from shared.web.problems import not_found
from tests.owasp.front import Front, W, neighbour

NOTHING = bytes(not_found().body)
THINGS = [
    ("provisioner", "server_id", f"{W}/servers/{{server_id}}"),
    ("provisioner", "job_id", f"{W}/jobs/{{job_id}}"),
    ("provisioner", "domain_id", f"{W}/domains/{{domain_id}}"),
    ("provisioner", "subscription_id", f"{W}/subscriptions/{{subscription_id}}"),
    ("dns", "zone_id", f"{W}/zones/{{zone_id}}"),
    ("vault", "export_id", f"{W}/exports/{{export_id}}"),
    ("reputation", "server_id", f"{W}/servers/{{server_id}}/reputation"),
]


async def test_rights_in_two_workspaces_do_not_mix(stage: Front) -> None:
    """An owner of A and B finds B's things under B and nowhere else."""
    a, b = stage.world.a, stage.world.b
    token = await stage.token(await stage.person((a, "owner"), (b, "owner")))
    for service, parameter, template in THINGS:
        theirs = await stage.made(service, parameter, b)
        path = template.replace(f"{{{parameter}}}", theirs.id)
        through_a = await stage.ask(token, "GET", path.replace("{workspace_id}", a.workspace_id))
        through_b = await stage.ask(token, "GET", path.replace("{workspace_id}", b.workspace_id))
        assert (through_a.status_code, through_a.content) == (404, NOTHING), template
        assert through_b.status_code == 200, template


async def test_counting_up_from_one_s_own_id_finds_nothing(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    for service, parameter, template in THINGS:
        own = await stage.made(service, parameter, stage.world.a)
        path = template.replace("{workspace_id}", stage.world.a.workspace_id)
        assert (await stage.ask(token, "GET", path.replace(f"{{{parameter}}}", own.id))).status_code == 200
        for step in (-2, -1, 1, 2):
            answer = await stage.ask(token, "GET", path.replace(f"{{{parameter}}}", neighbour(own.id, step)))
            assert (answer.status_code, answer.content) == (404, NOTHING), template


SPELLINGS = (
    "{B}", "{a}%2F..%2F{b}", "{a}/../{b}", "{a}%00{b}", "{a},{b}", "{a}%26workspace_id={b}", "{a};{b}", "*", "%25",
)  # fmt: skip


async def test_no_spelling_of_an_id_reaches_another_workspace(stage: Front) -> None:
    a, b = stage.world.a.workspace_id, stage.world.b.workspace_id
    token = await stage.owner(stage.world.a)
    for spelling in SPELLINGS:
        named = spelling.format(a=a, b=b, B=b.upper())
        answer = await stage.ask(token, "GET", f"/v1/workspaces/{named}/servers")
        assert answer.status_code in (400, 404), spelling
        assert b not in answer.text


QUERIES = (
    "workspace_id={b}", "workspace={b}", "ws={b}", "filter=workspace_id:{b}", "workspace_id={a}&workspace_id={b}",
)  # fmt: skip


async def test_no_query_parameter_changes_the_workspace(stage: Front) -> None:
    a, b = stage.world.a.workspace_id, stage.world.b.workspace_id
    theirs = await stage.made("provisioner", "server_id", stage.world.b)
    token = await stage.owner(stage.world.a)
    for query in QUERIES:
        answer = await stage.ask(token, "GET", f"/v1/workspaces/{a}/servers?{query.format(a=a, b=b)}")
        assert answer.status_code in (200, 400, 422), query
        assert theirs.id not in answer.text, query


async def test_a_cursor_of_another_customer_is_refused(stage: Front) -> None:
    a, b = stage.world.a, stage.world.b
    for customer in (a, b):
        for _ in range(3):
            await stage.made("auth", "member_id", customer)
    theirs = await stage.ask(await stage.owner(b), "GET", f"/v1/workspaces/{b.workspace_id}/members?limit=1")
    cursor, foreign = theirs.json()["next_cursor"], theirs.json()["items"][0]["id"]
    assert cursor
    answer = await stage.ask(
        await stage.owner(a), "GET", f"/v1/workspaces/{a.workspace_id}/members?limit=100&cursor={cursor}"
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_refused")
    assert foreign not in answer.text
    assert b.account_id not in answer.text


async def test_an_idempotency_key_of_another_customer_replays_nothing_of_his(stage: Front) -> None:
    """The answer to a made key holds the key itself: the worst thing that could be replayed."""
    answers = []
    for customer in (stage.world.a, stage.world.b):
        answers.append(
            await stage.ask(
                await stage.owner(customer),
                "POST",
                f"/v1/workspaces/{customer.workspace_id}/api-keys",
                {"name": "k", "scopes": ["servers:read"]},
                Idempotency_Key="the-same-for-both",
            )
        )
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["key"] != answers[1].json()["key"]
    assert "idempotency-replayed" not in answers[1].headers
