"""What a person wants mails about, per workspace and kind of mail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.errors import LinkRefused, MailCannotBeSwitchedOff
from services.auth.mail_links import MailLinkVerifier
from services.auth.notifications.kinds import BY_NAME, KINDS
from services.auth.preferences import repository
from services.auth.preferences.schemas import PreferencesView, PreferenceView, SetPreferences, Unsubscribed
from services.auth.workspaces.service import require_user
from shared.clock import Clock
from shared.db.database import set_context
from shared.errors import NotFound
from shared.identity import Identity
from shared.web.conditional import IfMatch


async def view(session: AsyncSession, identity: Identity, workspace_id: str) -> tuple[PreferencesView, str]:
    """Every kind that the caller's role may get from this workspace, and the version of it."""
    account_id = require_user(identity)
    off = await repository.muted(session, workspace_id, account_id)
    reaching = {identity.role, "actor", "subject"}
    shown = PreferencesView(
        items=[
            PreferenceView(
                kind=kind.name,
                topic=kind.topic,
                what=kind.what,
                mail=kind.name not in off,
                optional=kind.optional,
            )
            for kind in KINDS
            if reaching & set(kind.to)
        ]
    )
    return shown, _version(off)


def _version(off: Iterable[str]) -> str:
    """Of what is switched off: the same set has the same one."""
    return hashlib.sha256("\n".join(sorted(off)).encode()).hexdigest()[:16]


async def replace(
    session: AsyncSession,
    clock: Clock,
    identity: Identity,
    workspace_id: str,
    request: SetPreferences,
    if_match: IfMatch,
) -> tuple[PreferencesView, str]:
    """Raises MailCannotBeSwitchedOff for a kind that is unknown or that everybody has to get, PreconditionFailed."""
    account_id = require_user(identity)
    off = set(request.off)
    for name in sorted(off):
        if name not in BY_NAME or not BY_NAME[name].optional:
            raise MailCannotBeSwitchedOff(
                f"{name} cannot be switched off.",
                field="off",
                next_action="Choose among the kinds that are shown as optional.",
            )
    if not await repository.lock_member(session, workspace_id, account_id):
        raise NotFound
    before = await repository.muted(session, workspace_id, account_id)
    if_match.check(_version(before))
    await repository.unmute(session, workspace_id, account_id, before - off)
    await repository.mute(session, workspace_id, account_id, off - before, clock.now())
    return await view(session, identity, workspace_id)


async def unsubscribe(
    session: AsyncSession, links: MailLinkVerifier, clock: Clock, token: str
) -> Unsubscribed:
    """What the link in a mail can do, and all that it can: switch that kind off, for that person and workspace.

    It works as often as it is used, and says the same to somebody who has left since. Raises LinkRefused.
    """
    claims = links.verify("unsubscribe+jwt", token)
    kind = BY_NAME.get(str(claims.get("kind")))
    workspace_id, account_id = str(claims.get("ws")), str(claims["sub"])
    if kind is None or not kind.optional:
        raise LinkRefused("There is no such mail any more.", next_action="You need do nothing.")
    await set_context(session, workspace_id=workspace_id, account_id=account_id)
    if await repository.lock_member(session, workspace_id, account_id):
        await repository.mute(session, workspace_id, account_id, [kind.name], clock.now())
    return Unsubscribed(what=kind.what)
