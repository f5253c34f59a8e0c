"""Requests of a shape that is not forwarded."""

from __future__ import annotations

import pytest

from gateway.filter import protocol as request_filter
from gateway.head import Head

MAX = 1024 * 1024
GOOD = [(b"host", b"sendchief.test"), (b"accept", b"*/*")]


def status(
    path: bytes = b"/v1/me", query: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None
) -> int:
    head = Head(GOOD if headers is None else headers)
    length = head.by_name.get(b"content-length", b"0")
    refused = (
        head.refused or request_filter.check_target(path, query) or request_filter.check_length(length, MAX)
    )
    return 200 if refused is None else refused.status


@pytest.mark.asvs("1.1.1")
@pytest.mark.parametrize(
    "path",
    [
        b"/v1/../internal/memberships",
        b"/v1/./me",
        b"/v1/%2e%2e/internal",
        b"/v1/me%2f..",
        b"/v1//me",
        b"/v1/me/",
        b"/v1/me;a=b",
        b"/v1/me%00",
        b"/v1/me\x00",
        b"/v1/me\r\nX: y",
        b"/v1/m\xc3\xa9",
        b"/v1\\me",
        b"/v1/me#x",
        b"/v1/.git/config",
        b"http://evil.test/v1/me",
        b"",
        b"*",
    ],
)
def test_a_path_with_two_meanings_is_refused(path: bytes) -> None:
    assert status(path) == 400


@pytest.mark.asvs("1.1.1", "15.3.7")
@pytest.mark.parametrize(
    "query", [b"a=1&a=2", b"a=%0d%0aSet-Cookie", b"a=%", b"a=%zz", b"a=%00", b'a="', b"a=<x>"]
)
def test_a_query_with_two_meanings_is_refused(query: bytes) -> None:
    assert status(query=query) == 400


def test_ordinary_requests_pass() -> None:
    assert status() == 200
    assert status(query=b"limit=10&cursor=WyJhIl0") == 200
    assert status(query=b"q=a%20b%C3%A4") == 200


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ([(b"content-length", b"1"), (b"content-length", b"1")], 400),
        ([(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], 400),
        ([(b"content-length", b"+1")], 413),
        ([(b"content-length", b"1048577")], 413),
        ([(b"host", b"other")], 400),
        ([(b"authorization", b"a"), (b"authorization", b"b")], 400),
        ([(b"x-http-method-override", b"DELETE")], 400),
        ([(b"x-big", b"a" * 17_000)], 431),
        ([(b"x-%d" % number, b"") for number in range(70)], 431),
    ],
)
def test_headers_with_two_meanings_or_no_end_are_refused(
    extra: list[tuple[bytes, bytes]], expected: int
) -> None:
    assert status(headers=GOOD + extra) == expected


def test_a_long_target_is_refused() -> None:
    assert status(query=b"a=" + b"x" * 2048) == 414


@pytest.mark.asvs("15.3.4")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"192.0.2.7", "192.0.2.7"),
        (b"10.0.0.1, 192.0.2.7", "192.0.2.7"),
        (b"2001:DB8::1", "2001:db8::1"),
        (b"evil", None),
        (b"", None),
    ],
)
def test_the_address_is_the_one_that_nginx_saw(value: bytes, expected: str | None) -> None:
    assert request_filter.client_ip([(b"x-forwarded-for", value)]) == expected
