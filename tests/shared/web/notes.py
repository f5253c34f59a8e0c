"""A small service's API: notes of a workspace, and a route for each way to fail."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from shared.errors import Conflict, Gone, Invalid, NotFound, TooManyRequests
from shared.ids import WorkspaceId, new_id
from shared.web import IdempotencyDep, IdentityDep, Page, PageDep, SessionDep, public, requires, signed_in

A, B = new_id("ws"), new_id("ws")
router = APIRouter(prefix="/v1")
failures: dict[str, Exception] = {
    "conflict": Conflict("taken", field="name", next_action="Take another."),
    "gone": Gone(),
    "invalid": Invalid("bad", field="name"),
    "busy": TooManyRequests(retry_after=7),
    "missing": NotFound("srv_secret is in another workspace"),
    "bug": RuntimeError("password=hunter2"),
}


class NoteBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str


class Note(BaseModel):
    id: str
    text: str
    token: str | None = None


@router.get("/workspaces/{workspace_id}/notes", dependencies=[requires("notes.read")])
async def list_notes(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[Note]:
    rows = (
        await session.execute(
            text("select id, text from note where id > :after order by id limit :limit"),
            {"after": page.after_id or "", "limit": page.limit + 1},
        )
    ).all()
    return page.page(rows, lambda row: Note(id=row.id, text=row.text), lambda row: row.id)


@router.post("/workspaces/{workspace_id}/notes", dependencies=[requires("notes.write")], status_code=201)
async def create_note(
    workspace_id: WorkspaceId, body: NoteBody, session: SessionDep, idempotency: IdempotencyDep
) -> Any:
    async def create() -> Note:
        note = Note(id=new_id("res"), text=body.text, token="shown-once")
        await session.execute(
            text("insert into note values (:i, :w, :t)"), {"i": note.id, "w": workspace_id, "t": note.text}
        )
        if body.text == "slow":
            await asyncio.sleep(0.3)
        if body.text == "refused":
            raise Conflict("not this one")
        return note

    return await idempotency.run(status_code=201, call=create, secret_fields={"token"})


@router.get("/workspaces/{workspace_id}/numbers/{number}", dependencies=[requires("notes.read")])
async def number(workspace_id: WorkspaceId, number: Annotated[int, Path(ge=1)]) -> int:
    return number


@router.post("/workspaces/{workspace_id}/exports", dependencies=[requires("notes.read", step_up=300)])
async def export(workspace_id: WorkspaceId) -> str:
    return "exported"


@router.get("/me", dependencies=[signed_in()])
async def me(identity: IdentityDep) -> str:
    return identity.subject


@router.get("/failures/{name}", dependencies=[public()])
async def fail(name: str) -> None:
    raise failures[name]


@router.post("/late", dependencies=[public()])
async def fails_at_commit(session: SessionDep) -> str:
    await session.execute(text("create temporary table t (n int unique deferrable initially deferred)"))
    await session.execute(text("insert into t values (1), (1)"))
    return "this must not be said"


def key() -> dict[str, str]:
    return {"Idempotency-Key": new_id("req")}


NOTES = f"/v1/workspaces/{A}/notes"
