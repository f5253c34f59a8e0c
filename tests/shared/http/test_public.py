"""HTTPS to a place that a customer named: never to an address of ours, and always to the address that was looked at."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.tls import Authority
from shared.http.public import PublicClient, PublicUrl, TargetRefused, Unreachable, UrlRefused, public_url
from shared.special_use import (
    REFUSED_NETWORKS,
    SPECIAL_USE_NAMES,
    IPAddress,
    parse_networks,
    refused,
    without,
)

NAME = "hooks.customer.com"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
NETWORKS = parse_networks(REFUSED_NETWORKS)
HERE = without(REFUSED_NETWORKS, "127.0.0.1/32")
"""What a test refuses: all but the one address that its receivers listen at."""


def parsed(text: str) -> PublicUrl:
    return public_url(text, special_names=SPECIAL_USE_NAMES)


# -- the URL -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("https://Hooks.Customer.COM", "https://hooks.customer.com/"),
        ("https://hooks.customer.com:443/a", "https://hooks.customer.com/a"),
        ("https://hooks.customer.com:8443/a/b?c=d&e=%20f", "https://hooks.customer.com:8443/a/b?c=d&e=%20f"),
        ("https://xn--mnchen-3ya.de/x", "https://xn--mnchen-3ya.de/x"),
    ],
)
def test_a_url_has_one_spelling(text: str, canonical: str) -> None:
    assert str(parsed(text)) == canonical
    assert parsed(canonical) == parsed(text)


SPELLINGS = (
    "127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0177.0.0.1",
    "0177.1", "017700000001", "127.0.0.1.", "127.000.000.001", "127.0.0.0x1", "[::1]", "[::]", "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25eth0]", "[fd00::1]",
    "::1", "169.254.169.254", "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]", "100.64.0.1", "10.0.0.1",
    "192.168.0.1", "172.16.0.1", "224.0.0.1", "255.255.255.255", "127.0.0.1%2f@x.customer.com", "\u2460\u2461\u2466.1",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
    "localhost", "a.localhost", "localhost.", "router", "x.internal", "x.local",
    "x.test", "x.onion", "1.0.0.127.in-addr.arpa", "xn--127.0.0.1", "%31%32%37.0.0.1", "127.0.0.1\\@customer.com",
)  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.asvs("1.3.6")
def test_no_spelling_of_an_address_and_no_inner_name_is_a_target(host: str) -> None:
    with pytest.raises(UrlRefused):
        parsed(f"https://{host}/")


def _dotted(number: int) -> str:
    return str(ipaddress.IPv4Address(number))


WRITTEN: tuple[Callable[[int], str], ...] = (
    _dotted,
    str,
    hex,
    lambda number: f"0{number:o}",
    lambda number: ".".join(hex(byte) for byte in number.to_bytes(4, "big")),
    lambda number: ".".join(f"0{byte:o}" for byte in number.to_bytes(4, "big")),
    lambda number: f"{number >> 24}.{number & 0xFFFFFF}",
    lambda number: f"{number >> 24}.{number >> 16 & 255}.{number & 0xFFFF}",
    lambda number: f"{_dotted(number)}.",
    lambda number: f"[::ffff:{_dotted(number)}]",
    lambda number: f"[::{_dotted(number)}]",
    lambda number: f"[64:ff9b::{_dotted(number)}]",
    lambda number: f"user@{_dotted(number)}",
    lambda number: f"customer.com@{_dotted(number)}",
    lambda number: f"customer.com#@{_dotted(number)}",
    lambda number: f"customer.com\\.{_dotted(number)}",
    lambda number: _dotted(number).replace(".", "\u3002"),
    lambda number: "".join(chr(ord(each) + 0xFEE0) if each.isdigit() else each for each in _dotted(number)),
)


@given(st.integers(0, 2**32 - 1), st.sampled_from(WRITTEN), st.sampled_from(["", ":443", ":8443"]))
@pytest.mark.asvs("1.3.6")
def test_whatever_address_it_is_however_it_is_written_it_is_no_target(
    number: int, written: Callable[[int], str], port: str
) -> None:
    with pytest.raises(UrlRefused):
        parsed(f"https://{written(number)}{port}/")


@pytest.mark.parametrize(
    "text",
    [
        "http://hooks.customer.com/", "HTTPS://hooks.customer.com/", "ftp://hooks.customer.com/",
        "//hooks.customer.com/",
        "hooks.customer.com", "file:///etc/passwd", "gopher://hooks.customer.com/", "https://hooks.customer.com:80/",
        "https://hooks.customer.com:22/", "https://hooks.customer.com:25/", "https://hooks.customer.com:0/",
        "https://hooks.customer.com:99999/", "https://hooks.customer.com:/", "https://user:pass@hooks.customer.com/",
        "https://hooks.customer.com/#a", "https://hooks.customer.com/a b", "https://hooks.customer.com/\r\nHost: x",
        "https://hooks.customer.com/\\x", "https://hooks.customer.com?x=1", "https://-a.com/", "https://a..com/",
        "https://" + "a" * 64 + ".com/", "https://hooks.customer.com/" + "a" * 500, "https://münchen.de/", "https:///a",
        "https://hooks.customer.com\x00.x.com/", "https://a_b.com/", "",
    ],
)  # fmt: skip
@pytest.mark.asvs("1.3.6")
def test_only_https_to_a_named_host_at_few_ports(text: str) -> None:
    with pytest.raises(UrlRefused):
        parsed(text)


# -- the addresses -----------------------------------------------------------------------------------------------


@given(st.ip_addresses())
@pytest.mark.asvs("1.3.6")
def test_what_is_not_global_is_refused(address: IPAddress) -> None:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert refused(address, NETWORKS) or (mapped or address).is_global


@given(
    st.sampled_from(
        ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "100.64.0.0/10", "224.0.0.0/4"]
    ),
    st.integers(0, 2**16 - 1),
    st.sampled_from(["::ffff:{}", "::{}", "64:ff9b::{}", "64:ff9b:1::{}"]),
)
@pytest.mark.asvs("1.3.6")
def test_an_inner_ipv4_address_inside_an_ipv6_one_is_refused(network: str, offset: int, form: str) -> None:
    inner = ipaddress.IPv4Network(network)[offset]
    assert refused(ipaddress.ip_address(form.format(inner)), NETWORKS)
    # 6to4 (RFC 3056) and Teredo (RFC 4380) have it elsewhere.
    assert refused(ipaddress.IPv6Address(0x2002 << 112 | int(inner) << 80 | 1), NETWORKS)
    assert refused(ipaddress.IPv6Address(0x2001 << 112 | (int(inner) ^ 0xFFFFFFFF)), NETWORKS)


# -- the connection ----------------------------------------------------------------------------------------------


@dataclass
class Names:
    """A resolver. Each question takes the next of `answers`; the last one stays."""

    answers: list[Sequence[str]]
    asked: int = 0

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        assert host == NAME
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [ipaddress.ip_address(text) for text in answer]


@dataclass
class Receiver:
    port: int
    ca_file: Path
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    def url(self, target: str = "/in") -> PublicUrl:
        return PublicUrl(NAME, self.port, target)

    def client(self, names: Names, *, networks: Sequence[str] = HERE, timeout: float = 5.0) -> PublicClient:
        return PublicClient(names, refused_networks=networks, ca_file=self.ca_file, timeout=timeout)


@asynccontextmanager
async def receiving(
    directory: Path, answer: bytes = OK, *, name: str = NAME, hang: bool = False
) -> AsyncIterator[Receiver]:
    """A real TLS server at 127.0.0.1 with a certificate for `name`."""
    authority = Authority(directory / "tls")
    pair = authority.issue("hooks", names=[name])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    receiver = Receiver(0, authority.ca_file)
    context.sni_callback = lambda _socket, asked, _context: receiver.names.append(asked)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        receiver.requests.append(head + await reader.readexactly(2))
        writer.write(answer)
        await writer.drain()
        if hang:
            await asyncio.sleep(60)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@pytest.mark.asvs("1.3.6")
async def test_host_sni_and_certificate_are_those_of_the_name(tmp_path: Path) -> None:
    async with receiving(tmp_path) as receiver:
        answer = await receiver.client(Names([["127.0.0.1"]])).post(
            receiver.url("/in?a=b"), b"{}", {"x-one": "1"}
        )
    assert (answer.status, answer.retry_after) == (204, None)
    head = receiver.requests[0].decode()
    assert head.startswith("POST /in?a=b HTTP/1.1\r\n")
    assert f"host: {NAME}:{receiver.port}\r\n" in head.lower()
    assert "x-one: 1\r\n" in head.lower()
    assert receiver.names == [NAME]


@pytest.mark.asvs("12.3.2")
async def test_a_certificate_of_another_name_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    async with receiving(tmp_path, name="other.customer.com") as receiver:
        with pytest.raises(Unreachable, match="certificate"):
            await receiver.client(Names([["127.0.0.1"]])).post(receiver.url(), b"{}", {})
    assert receiver.requests == []


@pytest.mark.asvs("1.3.6")
async def test_by_default_nothing_on_this_machine_is_connected_to(tmp_path: Path) -> None:
    async with receiving(tmp_path) as receiver:
        client = receiver.client(Names([["127.0.0.1"]]), networks=REFUSED_NETWORKS)
        with pytest.raises(TargetRefused):
            await client.post(receiver.url(), b"{}", {})
    assert receiver.names == []


@pytest.mark.asvs("1.3.6")
async def test_a_name_that_means_another_address_a_moment_later_is_not_asked_again(tmp_path: Path) -> None:
    """Rebinding: the second answer would be an inner address."""
    names = Names([["127.0.0.1"], ["169.254.169.254"]])
    async with receiving(tmp_path) as receiver:
        client = receiver.client(names)
        assert (await client.post(receiver.url(), b"{}", {})).status == 204
        assert names.asked == 1
        with pytest.raises(TargetRefused):
            await client.post(receiver.url(), b"{}", {})
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("inner", ["10.0.0.1", "::1", "::ffff:192.168.0.1", "64:ff9b::a00:1", "127.0.0.2"])
@pytest.mark.asvs("1.3.6")
async def test_one_inner_address_among_good_ones_refuses_the_name(tmp_path: Path, inner: str) -> None:
    async with receiving(tmp_path) as receiver:
        with pytest.raises(TargetRefused):
            await receiver.client(Names([["127.0.0.1", inner]])).post(receiver.url(), b"{}", {})
    assert receiver.names == []


async def test_an_address_where_nobody_listens_is_passed_over(tmp_path: Path) -> None:
    networks = without(HERE, "127.0.0.2/32")
    async with receiving(tmp_path) as receiver:
        client = receiver.client(Names([["127.0.0.2", "127.0.0.1"]]), networks=networks)
        assert (await client.post(receiver.url(), b"{}", {})).status == 204


@pytest.mark.asvs("15.3.2")
async def test_a_redirect_is_an_answer_like_any_other(tmp_path: Path) -> None:
    answer = (
        b"HTTP/1.1 307 Moved\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n"
    )
    async with receiving(tmp_path, answer) as receiver:
        said = await receiver.client(Names([["127.0.0.1"]])).post(receiver.url(), b"{}", {})
    assert (said.status, said.retry_after) == (307, 7.0)
    assert len(receiver.requests) == 1


async def test_a_body_that_never_ends_is_not_read(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with receiving(tmp_path, answer, hang=True) as receiver:
        assert (await receiver.client(Names([["127.0.0.1"]])).post(receiver.url(), b"{}", {})).status == 200


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nA: "])
async def test_an_answer_that_does_not_begin_has_an_end(tmp_path: Path, answer: bytes) -> None:
    async with receiving(tmp_path, answer, hang=True) as receiver:
        with pytest.raises(Unreachable, match=r"within|in time"):
            await receiver.client(Names([["127.0.0.1"]]), timeout=0.3).post(receiver.url(), b"{}", {})


async def test_headers_without_end_are_no_answer(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000
    async with receiving(tmp_path, answer) as receiver:
        with pytest.raises(Unreachable):
            await receiver.client(Names([["127.0.0.1"]])).post(receiver.url(), b"{}", {})


async def test_the_environment_names_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(tmp_path / "inside") as inside, receiving(tmp_path) as receiver:
        for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"https://127.0.0.1:{inside.port}")
        assert (await receiver.client(Names([["127.0.0.1"]])).post(receiver.url(), b"{}", {})).status == 204
    assert inside.names == []
