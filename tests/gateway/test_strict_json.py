"""JSON with one meaning: what is refused, and that nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filter.strict_json import MAX_DEPTH, MAX_INTEGER, MAX_MEMBERS, MAX_STRING, BadJson, read


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"role":"member","role":"owner"}', "named twice"),
        (b'{"a":{"b":1,"b":2}}', "named twice"),
        (b'{"role":"member","r\\u006fle":"owner"}', "named twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":Infinity}', "Infinity"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":9007199254740993}', "2^53"),
        (b'{"a":' + b"9" * 5000 + b"}", "2^53"),
        (b'{"a":0.' + b"1" * 5000 + b"}", "too long"),
        (b"[" * 33 + b"]" * 33, "deeper"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":' * 5000, "deeper"),
        (b'{"a":"\\u0000"}', "U+0000"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"' + b"x" * (MAX_STRING + 1) + b'"}', "characters"),
        (b"[" + b"0," * 20_000 + b"0]", "values"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{}{}", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
        (b"", "not JSON"),
        (b'/**/{"a":1}', "not JSON"),
        (b'{"a":01}', "not JSON"),
        (b'{"a":+1}', "not JSON"),
    ],
)
def test_what_two_parsers_may_read_differently_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(BadJson) as raised:
        read(body)
    assert reason in raised.value.reason


def test_members_are_counted_over_the_whole_document() -> None:
    inner = {f"k{number}": 0 for number in range(MAX_MEMBERS // 2 + 1)}
    with pytest.raises(BadJson):
        read(json.dumps({"a": inner, "b": inner}).encode())
    with pytest.raises(BadJson):
        read(json.dumps({f"k{number}": 0 for number in range(MAX_MEMBERS + 1)}).encode())


def test_the_limits_themselves_pass() -> None:
    assert read(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert read(json.dumps({f"k{number}": 0 for number in range(MAX_MEMBERS)}).encode())
    assert read(json.dumps({"a": MAX_INTEGER, "b": -MAX_INTEGER, "c": 1.5e300}).encode())
    assert read(json.dumps({"a": "x" * MAX_STRING}).encode())
    assert read(json.dumps({"mailbox_ids": ["mbx_" + "0" * 32] * 10_000}).encode())


def test_every_string_is_found_with_the_member_it_stands_under() -> None:
    _, leaves = read(b'{"a":"1","b":{"c":["2","3"],"d":{"e":"4"}},"f":5}')
    assert {(leaf.member, leaf.text) for leaf in leaves if not leaf.is_name} == {
        ("a", "1"), ("c", "2"), ("c", "3"), ("e", "4"),
    }  # fmt: skip
    assert {leaf.text for leaf in leaves if leaf.is_name} == set("abcdef")


def test_no_text_of_a_body_is_in_a_leafs_repr_or_in_a_refusal() -> None:
    _, leaves = read(b'{"password":"correct horse"}')
    assert "horse" not in repr(leaves)
    with pytest.raises(BadJson) as raised:
        read(b'{"password":"correct horse","password":"battery"}')
    assert "horse" not in str(raised.value)
    assert "password" not in str(raised.value)


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text().filter(lambda t: "\0" not in t)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.text(max_size=10).filter(lambda t: "\0" not in t), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@given(_plain, st.booleans())
def test_ordinary_documents_pass_and_mean_what_they_say(value: Any, escaped: bool) -> None:
    assert read(json.dumps(value, ensure_ascii=escaped).encode())[0] == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        value, _ = read(body)
    except BadJson:
        return
    assert json.loads(body) == value
