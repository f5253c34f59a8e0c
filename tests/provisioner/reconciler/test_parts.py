"""The small parts: backoff, meaning of failures, plans, one-time keys, settings."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.provisioner.hosts.port import (
    HostCommandFailed,
    HostError,
    HostKeyChanged,
    HostRefused,
    HostUnreachable,
)
from services.provisioner.plans import Catalogue
from services.provisioner.ports import (
    CloudBusy,
    CloudDenied,
    CloudIp,
    CloudNotFound,
    CloudOutOfStock,
    CloudQuota,
    CloudRateLimited,
    CloudRefused,
    CloudUnavailable,
    PaymentError,
    VaultUnavailable,
)
from services.provisioner.reconciler import plan, tags
from services.provisioner.reconciler.backoff import CURVES, Backoff
from services.provisioner.reconciler.failures import outcome_of
from services.provisioner.reconciler.identity import OneTimeKeys
from services.provisioner.reconciler.outcomes import Fatal, Retry
from services.provisioner.settings import PLANS_FILE
from services.provisioner.steps.reserve_addresses import host_of
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.provisioner.stage import worker_settings


@pytest.mark.parametrize("error_class", [*CURVES, "anything"])
def test_pauses_grow_to_a_ceiling_with_jitter(error_class: str) -> None:
    backoff = Backoff(2.0, 600.0, random.Random(7))
    curve = CURVES.get(error_class)
    base, cap = (curve.base, curve.cap) if curve else (2.0, 600.0)
    first = [backoff.seconds(error_class, 1) for _ in range(200)]
    late = [backoff.seconds(error_class, 50) for _ in range(200)]
    assert 0 < min(first) < max(first) <= base
    assert max(late) <= cap
    assert max(late) > cap * 0.8
    assert len(set(first)) > 100


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CloudRateLimited("429", retry_after=7), ("rate_limited", 7)),
        (CloudUnavailable("x"), ("unavailable", None)),
        (CloudBusy("x"), ("busy", None)),
        (CloudNotFound("x"), ("unavailable", None)),
        (HostUnreachable("x"), ("host_unreachable", None)),
        (HostRefused("x"), ("host_refused", None)),
        (HostCommandFailed("apply", "busy", "x"), ("host_command", None)),
        (HostError("x"), ("host_command", None)),
        (VaultUnavailable("x"), ("vault", None)),
        (PaymentError("x", retryable=True), ("payment", None)),
    ],
)
def test_what_may_pass_is_tried_again(error: Any, expected: tuple[str, float | None]) -> None:
    outcome = outcome_of(error)
    assert isinstance(outcome, Retry)
    assert (outcome.error_class, outcome.after) == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CloudOutOfStock("x"), "OutOfStock"),
        (CloudQuota("x"), "QuotaExceeded"),
        (CloudDenied("x"), "CloudDenied"),
        (CloudRefused("x"), "CloudRefused"),
        (HostKeyChanged("x"), "HostKeyChanged"),
        (PaymentError("x", retryable=False), "PaymentRefused"),
    ],
)
def test_what_cannot_pass_by_itself_needs_a_person(error: Any, reason: str) -> None:
    outcome = outcome_of(error)
    assert isinstance(outcome, Fatal)
    assert (outcome.reason, bool(outcome.message)) == (reason, True)


def test_both_plans_are_in_order() -> None:
    plan.check(plan.PRESENT)
    plan.check(plan.ABSENT)


def test_a_plan_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="needs"):
        plan.check(tuple(reversed(plan.PRESENT)))
    with pytest.raises(ValueError, match="needs"):
        plan.check((plan.PRESENT[0], plan.PRESENT[0]))


def test_one_time_keys_are_the_same_each_time_and_differ_by_server() -> None:
    keys = OneTimeKeys(SecretStr("s" * 32))
    assert keys.public("srv_1") == OneTimeKeys(SecretStr("s" * 32)).public("srv_1")
    assert keys.public("srv_1") != keys.public("srv_2")
    assert keys.public("srv_1") != OneTimeKeys(SecretStr("t" * 32)).public("srv_1")
    assert b"OPENSSH PRIVATE KEY" in keys.private_openssh("srv_1")


def test_a_short_secret_for_one_time_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        OneTimeKeys(SecretStr("short"))


def test_a_tag_that_is_there_twice_counts_for_nothing() -> None:
    assert tags.value(("sc-res:a", "sc-env:x"), "sc-res") == "a"
    assert tags.value(("sc-res:a", "sc-res:b"), "sc-res") is None
    assert tags.value((), "sc-res") is None


def test_an_address_without_address_or_prefix_is_a_defect() -> None:
    with pytest.raises(ValueError, match="neither"):
        host_of(CloudIp(id="x", family=6))


def test_france_and_the_netherlands_come_first() -> None:
    catalogue = Catalogue.load(PLANS_FILE)
    assert [region.country for region in catalogue.regions[:2]] == ["FR", "NL"]
    assert all(plan.amount_cents > 0 and plan.commercial_types for plan in catalogue.plans)


def test_a_lease_shorter_than_a_call_is_refused_at_start(
    service_database: ServiceDatabases, trust: Trust
) -> None:
    with pytest.raises(ValidationError, match="lease_seconds"):
        worker_settings(trust, service_database("provisioner"), lease_seconds=0.5, scaleway_timeout=1.0)


def test_networks_are_read_from_a_list_with_commas(service_database: ServiceDatabases, trust: Trust) -> None:
    settings = worker_settings(
        trust, service_database("provisioner"), control_plane_v4="198.51.100.1/32, 198.51.100.2/32",
        self_test_egress="[2001:db8::6]:25",
    )  # fmt: skip
    assert settings.control_plane_v4 == ["198.51.100.1/32", "198.51.100.2/32"]
    assert settings.egress_target() == ("2001:db8::6", 25)
