"""The brakes hold."""

from __future__ import annotations

import pytest

from services.dns.planner import plan
from services.dns.ports import Batch, RecordWrite
from services.dns.safety import MANY_DELETES, Limits, UnsafePlan, check_batch, check_deletes
from tests.dns.test_planner import WANTED, everything

TXT = RecordWrite("company.com", "TXT", "v=spf1 -all")


def test_deleting_most_of_what_is_ours_needs_acceptance() -> None:
    actual, owned = everything()
    result = plan([], actual, owned)
    with pytest.raises(UnsafePlan) as refused:
        check_deletes(result, Limits())
    assert refused.value.code == MANY_DELETES
    check_deletes(result, Limits(), accepted=[MANY_DELETES])


def test_a_few_deletions_pass() -> None:
    actual, owned = everything()
    check_deletes(plan(WANTED[3:], actual, owned), Limits())


@pytest.mark.parametrize(
    "batch",
    [
        Batch(deletes=("stranger",)),
        Batch(patches=(("stranger", TXT),)),
        Batch(patches=(("mergeable", RecordWrite("company.com", "TXT", "v=spf1", comment="ours")),)),
        Batch(patches=(("mergeable", RecordWrite("company.com", "MX", "10 host.net")),)),
        Batch(deletes=("mergeable",)),
    ],
    ids=["delete", "overwrite", "take over", "merge something else", "delete a merged one"],
)
def test_what_is_not_ours_is_never_touched(batch: Batch) -> None:
    with pytest.raises(UnsafePlan, match=r"ours|taken over"):
        check_batch(batch, owned_ids={"ours"}, mergeable_ids={"mergeable"}, limits=Limits())


def test_ours_may_be_changed_and_an_accepted_merge_written() -> None:
    batch = Batch(deletes=("ours",), patches=(("mergeable", TXT),), posts=(TXT,))
    check_batch(batch, owned_ids={"ours"}, mergeable_ids={"mergeable"}, limits=Limits())


def test_a_batch_that_could_not_be_atomic_is_refused() -> None:
    with pytest.raises(UnsafePlan, match="atomic"):
        check_batch(Batch(posts=(TXT,) * 201), owned_ids=(), mergeable_ids=(), limits=Limits())


def test_one_record_is_changed_once() -> None:
    with pytest.raises(UnsafePlan, match="twice"):
        check_batch(Batch(("a",), (("a", TXT),)), owned_ids={"a"}, mergeable_ids=(), limits=Limits())
