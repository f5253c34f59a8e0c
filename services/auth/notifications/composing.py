"""From a row to a mail: who, what, and whether at all, as it is true at the moment of sending."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.deliverability import repository as deliverability
from services.auth.models import Notification
from services.auth.notifications import repository
from services.auth.notifications.kinds import BY_NAME, Kind
from services.auth.notifications.letter import About, Letter, html_of, text_of
from services.auth.notifications.linked import Addressed, Sending
from services.auth.ports import Mail
from services.auth.preferences import repository as preferences
from services.auth.wiring import WorkerResources

UNSUBSCRIBE_LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class Dropped:
    """Why a mail is not sent. `reason` holds no address."""

    reason: str


async def compose(session: AsyncSession, resources: WorkerResources, row: Notification) -> Mail | Dropped:
    kind = BY_NAME[row.kind]
    if kind.row is not None:
        sending = Sending(resources.clock.now(), resources.links, resources.public_url)
        addressed = await kind.row(session, sending, row)
    else:
        addressed = await _to_account(session, resources, row)
    if addressed is None:
        return Dropped("what it was about is gone")
    if kind.optional and await _switched_off(session, row):
        return Dropped("switched off")
    block = await deliverability.in_force(session, addressed.email, resources.clock.now())
    if block is not None and not _passes(kind, addressed, block.reason):
        return Dropped(f"the address is suppressed: {block.reason}")
    return _mail(resources, row, kind, addressed)


async def _to_account(
    session: AsyncSession, resources: WorkerResources, row: Notification
) -> Addressed | None:
    account = await repository.account(session, row.account_id or "")
    if account is None:
        return None
    workspace = None
    workspace_id = row.data.get("workspace_id")
    if workspace_id is not None:
        workspace = await repository.workspace_name(session, workspace_id)
        if workspace is None:
            return None
        if row.data.get("as_member") and not await repository.is_member(session, workspace_id, account.id):
            return None
    about = About(
        name=account.name,
        workspace=workspace or "",
        link=resources.public_url,
        times=row.times,
        data=row.data,
    )
    return Addressed(account.email, about, account.id)


async def _switched_off(session: AsyncSession, row: Notification) -> bool:
    workspace_id = row.data.get("workspace_id")
    if workspace_id is None or row.account_id is None:
        return False
    return row.kind in await preferences.muted(session, workspace_id, row.account_id)


def _passes(kind: Kind, addressed: Addressed, reason: str) -> bool:
    """Who called one mail spam still hears what his account's safety depends on, and can still reset his password.
    What comes back never passes, and strangers (sign-ups, invitations) get nothing more."""
    return reason == "complained" and not kind.optional and addressed.account_id is not None


def _mail(resources: WorkerResources, row: Notification, kind: Kind, addressed: Addressed) -> Mail:
    letter = _with_count(kind.letter(addressed.about), row.times)
    token = _unsubscribe_token(resources, row, kind)
    page = f"{resources.public_url}/unsubscribe#token={token}" if token else None
    headers = {}
    if token:
        # RFC 8058: the mail program posts there, without cookies or a page.
        headers["List-Unsubscribe"] = f"<{resources.public_url}/v1/unsubscribe?token={token}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return Mail(
        key=f"{row.kind}/{row.id}",
        to=addressed.email,
        subject=letter.subject,
        text=text_of(letter, page),
        html=html_of(letter, page),
        kind=row.kind,
        reference=row.id,
        headers=headers,
    )


def _with_count(letter: Letter, times: int) -> Letter:
    if times < 2:
        return letter
    said = f"This happened {times} times since we last wrote about it; above is how it was the last time."
    return Letter(letter.subject, (*letter.paragraphs, said), letter.link, letter.link_text)


def _unsubscribe_token(resources: WorkerResources, row: Notification, kind: Kind) -> str | None:
    workspace_id = row.data.get("workspace_id")
    if not kind.optional or workspace_id is None or row.account_id is None:
        return None
    return resources.links.sign(
        "unsubscribe+jwt",
        row.account_id,
        expires_at=resources.clock.now() + UNSUBSCRIBE_LIFETIME,
        ws=workspace_id,
        kind=kind.name,
    )
