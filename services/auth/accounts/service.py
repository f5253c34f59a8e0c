"""Sign-up and confirmation of the address."""

from __future__ import annotations

from datetime import timedelta

from email_validator import EmailNotValidError, validate_email
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.accounts import repository
from services.auth.accounts.schemas import AccountView, SignupRequest
from services.auth.errors import EmailRefused, LinkRefused
from services.auth.mail_links import MailLinkVerifier
from services.auth.models import Signup
from services.auth.notifications import repository as mail
from services.auth.passwords import PasswordHasher
from shared.clock import Clock
from shared.db.database import Database
from shared.errors import Unauthenticated
from shared.ids import new_id, uuid7_hex
from shared.passwords import PasswordPolicy

SIGNUP_LIFETIME = timedelta(hours=24)
MAILS_PER_HOUR = 5
"""To one address: enough for a person who mistypes, useless for flooding somebody's mailbox."""


async def sign_up(
    database: Database,
    hasher: PasswordHasher,
    policy: PasswordPolicy,
    clock: Clock,
    request: SignupRequest,
    *,
    allow_test_domain: bool,
) -> None:
    """Sends a mail either way; takes the same work for a known and an unknown address."""
    email = normalise_email(request.email, allow_test_domain=allow_test_domain)
    policy.check(request.password, email=email, name=request.name)
    password_hash = await hasher.hash(request.password)
    now = clock.now()
    async with database.transaction() as session:
        await mail.one_at_a_time(session, email)
        known = await repository.account_by_email(session, email)
        if known is not None:
            recent = await mail.sent_to_account_since(
                session, known.id, "already_registered", now - timedelta(hours=1)
            )
            if recent < MAILS_PER_HOUR:
                mail.enqueue(session, "already_registered", known.id, now=now, account_id=known.id)
            return
        recent = await repository.signups_since(session, email, now - timedelta(hours=1))
        signup = Signup(
            id=f"sgn_{uuid7_hex()}",
            email=email,
            name=request.name,
            password_hash=password_hash,
            created_at=now,
            expires_at=now + SIGNUP_LIFETIME,
        )
        if recent < MAILS_PER_HOUR:
            await repository.replace_signup(session, signup)
            mail.enqueue(session, "confirm_address", signup.id, now=now)


async def confirm(session: AsyncSession, links: MailLinkVerifier, clock: Clock, token: SecretStr) -> None:
    """Turns the sign-up into an account, once. Raises LinkRefused."""
    claims = links.verify("confirm+jwt", token.get_secret_value())
    now = clock.now()
    signup = await repository.use_signup(session, str(claims["sub"]), now)
    if signup is None:
        raise LinkRefused(
            "The link was used already, replaced by a newer one, or is too old.",
            next_action="Try to sign in; if that fails, sign up again.",
        )
    row = {
        "id": new_id("usr"),
        "email": signup.email,
        "name": signup.name,
        "password_hash": signup.password_hash,
        "created_at": now,
    }
    if not await repository.add_account(session, row):
        raise LinkRefused("This address has an account already.", next_action="Sign in.")


async def me(session: AsyncSession, account_id: str) -> AccountView:
    account = await repository.account(session, account_id)
    if account is None:
        raise Unauthenticated("The account is gone.")
    return AccountView(id=account.id, email=account.email, name=account.name, created_at=account.created_at)


def normalise_email(address: str, *, allow_test_domain: bool) -> str:
    """Lower case, IDNA applied (RFC 5321, RFC 6531). Raises EmailRefused with what is wrong."""
    try:
        found = validate_email(
            address.strip(),
            check_deliverability=False,
            allow_smtputf8=False,
            test_environment=allow_test_domain,
        )
    except EmailNotValidError as problem:
        raise EmailRefused(str(problem), field="email") from None
    return found.normalized.lower()
