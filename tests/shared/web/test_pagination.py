"""Pages and their cursors."""

import httpx
import pytest

from shared.ids import new_id
from shared.web.pagination import CursorRefused, PageRequest, decode_cursor, encode_cursor
from tests.fixtures.identity import Trust
from tests.shared.web.notes import NOTES, key


async def test_pages_cover_everything_once(client: httpx.AsyncClient, trust: Trust) -> None:
    workspace = new_id("ws")
    headers = trust.user("dns", workspace_id=workspace, permissions=["notes.read", "notes.write"])
    path = f"/v1/workspaces/{workspace}/notes"
    for number_ in range(5):
        await client.post(path, headers=headers | key(), json={"text": str(number_)})
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(path, headers=headers, params=query)).json()
        assert len(page["items"]) <= 2
        seen += [item["text"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"cursor": "!!"}, {"cursor": "W10"}, {"cursor": "e30"}]
)
async def test_a_bad_page_request_is_422(
    client: httpx.AsyncClient, owner: dict[str, str], query: dict[str, str]
) -> None:
    answer = await client.get(NOTES, headers=owner, params=query)
    code = "cursor_refused" if query.get("cursor", "!!") != "!!" else "invalid"
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_cursor_holds_what_was_put_in() -> None:
    assert decode_cursor("list", encode_cursor("list", "2026-01-01", 7)) == ["2026-01-01", 7]


async def test_a_cursor_counts_in_the_list_that_it_was_given_for_and_nowhere_else(
    client: httpx.AsyncClient, trust: Trust
) -> None:
    here, there = new_id("ws"), new_id("ws")
    may = ["notes.read", "notes.write"]
    headers = {one: trust.user("dns", workspace_id=one, permissions=may) for one in (here, there)}
    paths = {one: f"/v1/workspaces/{one}/notes" for one in (here, there)}
    for number_ in range(3):
        await client.post(paths[here], headers=headers[here] | key(), json={"text": str(number_)})

    async def listed(one: str, **query: str) -> httpx.Response:
        return await client.get(paths[one], headers=headers[one], params=query)

    cursor = (await listed(here, limit="1")).json()["next_cursor"]
    assert (await listed(here, cursor=cursor, limit="2")).status_code == 200  # another size is the same list
    for answer in (
        await listed(there, cursor=cursor),
        await listed(here, cursor=cursor, topic="mail"),
    ):
        assert answer.status_code == 422
        assert answer.json()["code"] == "cursor_refused"


@pytest.mark.parametrize("after", [["x"], ["x", "y"], ["2026-11-23T00:00:00", "y"], [1, "y"], ["a\0", "y"]])
def test_a_place_that_is_none_is_refused_also_in_a_cursor_made_up_for_the_list(
    after: list[str | int],
) -> None:
    with pytest.raises(CursorRefused):
        PageRequest(10, after, "list").after_moment()
