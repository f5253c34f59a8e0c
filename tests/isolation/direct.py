"""Functions that are called by themselves: see `functions.py` for which, and what they are asked.

The database is asked as its superuser, whom row security does not hold, so that the function's own condition stands
alone; and A and B are all that is in it, so that what comes of a condition less does not depend on who else is there.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from shared.db.database import Database
from tests.fixtures import rows
from tests.isolation import factories
from tests.isolation.asked import Fields, Late
from tests.isolation.functions import FOREIGN, OWN
from tests.isolation.world import Customer, World


async def check_foreign(world: World, name: str) -> list[str]:
    """What is wrong. B asks as well, to show that there was something to be had."""
    a, b = await _alone(world, name)
    line = FOREIGN[name]
    said = await line.make(world, b)
    before = await world.holdings(b, with_uses=True)
    try:
        outcome = await _call(world, name, a, b, said)
    except Exception as error:  # an answer, too
        outcome = error
    if not line.nothing(outcome):
        return [f"A gets {_text(outcome)[:200]} of B's"]
    if await world.holdings(b, with_uses=True) != before:
        return ["a call of A's changed what B has"]
    theirs = await _call(world, name, b, b, said)
    if line.nothing(theirs) and await world.holdings(b, with_uses=True) == before:
        return ["B gets nothing either, so the row shows nothing"]
    return []


async def check_own(world: World, name: str) -> list[str]:
    a, b = await _alone(world, name)
    said = await OWN[name].make(world, a)
    await OWN[name].beside(world, b)
    before, ours = await world.holdings(b), await world.holdings(a)
    outcome = await _call(world, name, a, a, said)
    told = [word for word in before.words() - ours.words() if word in _text(outcome)]
    if not outcome or told:
        return [f"A gets {_text(outcome)[:200]}, which should be its own, without {told[:1]}"]
    return [] if await world.holdings(b) == before else ["a call of A's changed what B has"]


def _text(outcome: Any) -> str:
    """With all that rows say."""
    if isinstance(outcome, list | tuple):
        return " ".join(_text(part) for part in outcome)
    return str(vars(outcome) if hasattr(outcome, "__table__") else outcome)


async def _alone(world: World, name: str) -> tuple[Customer, Customer]:
    """Two customers, and nobody else in the function's database."""
    await rows.clear(world.migrated[name.partition(".")[0]].superuser_url())
    a, b = factories.customers.customer("A"), factories.customers.customer("B")
    for one in (a, b):
        await factories.customers.admit(world, one)
    return a, b


async def _call(world: World, name: str, caller: Customer, owner: Customer, said: Fields) -> Any:
    """What the function makes of it, for the caller, about what is the owner's."""
    service, function = name.partition(".")[0], _function(name)
    database = Database(world.migrated[service].superuser_url())
    known = {
        "workspace_id": caller.workspace_id, "scope": caller.workspace_id, "account_id": owner.account_id,
        "now": datetime.now(UTC), "database": database, "before": None, "after": None, "limit": 10,
    }  # fmt: skip
    try:
        async with database.transaction() as session:
            holder = _holder(name)
            instance = {"self": holder(session)} if holder is not None and "self" not in said else {}
            at_hand = {**known, "session": session, **instance, **said}
            wanted = inspect.signature(function).parameters
            missing = [each for each in wanted if each not in at_hand]
            assert not missing, f"{name}: say in its line what {missing} are"
            given = {each: await _made(at_hand[each], session, caller) for each in wanted}
            outcome = function(**given)
            return await outcome if inspect.isawaitable(outcome) else outcome
    finally:
        await database.dispose()


async def _made(value: Any, session: AsyncSession, caller: Customer) -> Any:
    if not isinstance(value, Late):
        return value
    made = value.make(session, caller)
    return await made if inspect.isawaitable(made) else made


def _holder(name: str) -> Any:
    """The class of a method."""
    module, *path = _parts(name)
    return getattr(module, path[0]) if len(path) > 1 else None


def _function(name: str) -> Callable[..., Any]:
    found, *path = _parts(name)
    for part in path:
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def _parts(name: str) -> list[Any]:
    words = name.split(".")
    at = next(number for number, word in enumerate(words) if word[0].isupper() or number == len(words) - 1)
    return [importlib.import_module("services." + ".".join(words[:at])), *words[at:]]
