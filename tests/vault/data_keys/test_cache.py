from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.vault.data_keys import purge
from services.vault.data_keys.cache import DataKeyCache
from services.vault.secret_bytes import SecretBytes
from shared.clock import FixedClock
from tests.vault.conftest import eventually

KEY = SecretBytes(b"k" * 32)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 1, 1, tzinfo=UTC))


def test_a_key_is_forgotten_after_five_minutes_however_often_it_is_used(clock: FixedClock) -> None:
    cache = DataKeyCache(clock)
    cache.put("ws_a", 1, b"c", KEY)
    for _ in range(4):
        clock.advance(timedelta(minutes=1))
        assert cache.get("ws_a", 1, b"c") == KEY
    clock.advance(timedelta(minutes=1))
    assert cache.get("ws_a", 1, b"c") is None


def test_nobody_can_ask_for_more_than_five_minutes(clock: FixedClock) -> None:
    with pytest.raises(ValueError, match="five minutes"):
        DataKeyCache(clock, lifetime=timedelta(minutes=5, seconds=1))


def test_what_leaves_the_cache_is_wiped_and_copies_live_on(clock: FixedClock) -> None:
    cache = DataKeyCache(clock)
    cache.put("ws_a", 1, b"c", KEY)
    held = cache._entries["ws_a", 1, b"c"][0]
    copy = cache.get("ws_a", 1, b"c")
    assert cache.purge("ws_a") == 1
    assert bytes(held._buffer) == bytes(32)
    assert copy == KEY
    assert cache.purge("ws_a") == 0


def test_a_version_made_again_with_another_key_is_another_entry(clock: FixedClock) -> None:
    """As after a rollback: the first key of that version never existed for the database."""
    cache = DataKeyCache(clock)
    cache.put("ws_a", 1, b"rolled back", KEY)
    assert cache.get("ws_a", 1, b"committed") is None


def test_the_oldest_goes_when_there_are_too_many(clock: FixedClock) -> None:
    cache = DataKeyCache(clock, capacity=2)
    for scope in ("ws_a", "ws_b", "ws_c"):
        cache.put(scope, 1, b"c", KEY)
    assert cache.scopes() == {"ws_b", "ws_c"}


async def test_the_sweep_wipes_keys_that_nobody_asks_for(clock: FixedClock) -> None:
    cache = DataKeyCache(clock)
    cache.put("ws_a", 1, b"c", KEY)
    held = cache._entries["ws_a", 1, b"c"][0]
    clock.advance(timedelta(minutes=5))
    sweeping = asyncio.create_task(purge.sweep(cache, seconds=0.01))
    await eventually(lambda: not cache.scopes())
    sweeping.cancel()
    assert bytes(held._buffer) == bytes(32)
