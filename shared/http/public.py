"""HTTPS to a place that a customer named, and never to one of ours (OWASP API7, server-side request forgery).

The name is resolved once, every address of it is looked at, and the connection goes to an address that was looked at:
what the name means a moment later does not count. Certificate, SNI and `Host` are those of the name. Redirects are not
followed and the answer's body is not read. docs/adr/0015 says why.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import httpx

from shared.http.client import USER_AGENT, retry_after
from shared.special_use import IPAddress, IPNetwork, parse_networks, refused, special_use

HTTPS: Final = 443
PORTS: Final = (443, 8443)
MAX_URL: Final = 500
MAX_ADDRESSES: Final = 4
"""How many addresses of one name are tried, one after the other, until one takes the connection."""

# RFC 3986 without what two parsers might read differently: user info, fragments, addresses, escapes in the host.
_URL: Final = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]{1,253})(?::(?P<port>[0-9]{1,5}))?(?P<target>/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


class UrlRefused(ValueError):
    """The text is no URL that we send anything to; the message says why, in words for its author."""


class TargetRefused(Exception):
    """The name leads to an address that is nobody's on the internet. `reason` names no address."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreachable(Exception):
    """No answer: the name does not resolve, nobody listens, the certificate is not the name's, or it took too long."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HostResolver(Protocol):
    async def addresses(self, host: str) -> Sequence[IPAddress]:
        """All A and AAAA records of the name, in the order to try them. Raises Unreachable when there are none."""
        ...


@dataclass(frozen=True)
class PublicUrl:
    """`target` is the path and query as they go into the request line (RFC 9112 section 3.2.1)."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        return self.host if self.port == HTTPS else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"https://{self.authority}{self.target}"


def public_url(text: str, *, ports: Sequence[int] = PORTS, special_names: Sequence[str]) -> PublicUrl:
    """The URL in its one spelling. Raises UrlRefused unless it is https, names a host of the public DNS by letters,
    digits and hyphens (a name beyond ASCII as its A-labels), and one of `ports`."""
    if len(text) > MAX_URL:
        raise UrlRefused(f"A URL has at most {MAX_URL} characters.")
    match = _URL.fullmatch(text)
    if match is None:
        raise UrlRefused(
            "It has to look like https://hooks.example.com/path, without user name and fragment."
        )
    host, port = match["host"].lower(), int(match["port"] or HTTPS)
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(labels) < 2:
        raise UrlRefused("The host has to be a full domain name.")
    if not labels[-1][0].isalpha():
        # Programs read `1`, `0x7f.1` and `127.0.0.0x1` as addresses: no top-level domain begins with a digit.
        raise UrlRefused("The host has to be a name, not an address.")
    if (special := special_use(host, special_names)) is not None:
        raise UrlRefused(f"Names under {special} are not on the internet.")
    if port not in ports:
        raise UrlRefused(f"The port has to be one of {', '.join(map(str, ports))}.")
    return PublicUrl(host, port, match["target"] or "/")


@dataclass(frozen=True)
class PublicAnswer:
    """`retry_after`: seconds that the server asks us to wait, when it does."""

    status: int
    retry_after: float | None


class PublicClient:
    """Sends to public addresses only. `refused_networks` is IANA's list in production; `ca_file` adds an authority."""

    def __init__(
        self,
        resolver: HostResolver,
        *,
        refused_networks: Sequence[str],
        ca_file: Path | None = None,
        timeout: float = 15.0,
    ) -> None:
        self._resolver = resolver
        self._refused: tuple[IPNetwork, ...] = parse_networks(refused_networks)
        self._timeout = timeout
        self._context = ssl.create_default_context()
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        if ca_file is not None:
            self._context.load_verify_locations(cafile=str(ca_file))

    async def post(self, url: PublicUrl, content: bytes, headers: Mapping[str, str]) -> PublicAnswer:
        """Raises TargetRefused, Unreachable. Everything together, the name's resolution too, has `timeout` seconds."""
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._checked(url.host)
                return await self._first_that_connects(url, addresses, content, headers)
        except TimeoutError:
            raise Unreachable(f"no answer within {self._timeout:g} s") from None

    async def _checked(self, host: str) -> Sequence[IPAddress]:
        """One bad address is enough: a name that leads here and there is not given the choice."""
        addresses = await self._resolver.addresses(host)
        if not addresses:
            raise Unreachable("the name has no address")
        if any(refused(address, self._refused) for address in addresses):
            raise TargetRefused("the name leads to an address that is not on the internet")
        return addresses[:MAX_ADDRESSES]

    async def _first_that_connects(
        self, url: PublicUrl, addresses: Sequence[IPAddress], content: bytes, headers: Mapping[str, str]
    ) -> PublicAnswer:
        reason = ""
        for address in addresses:
            try:
                return await self._post_to(address, url, content, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing was sent yet
                reason = _why(error)
            except httpx.HTTPError as error:
                raise Unreachable(_why(error)) from None
        raise Unreachable(reason)

    async def _post_to(
        self, address: IPAddress, url: PublicUrl, content: bytes, headers: Mapping[str, str]
    ) -> PublicAnswer:
        # A connection of its own: one in a pool is known by its address, and may have proved another name.
        transport = httpx.AsyncHTTPTransport(
            verify=self._context, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        async with transport:
            request = httpx.Request(
                "POST",
                f"https://{_literal(address)}:{url.port}{url.target}",
                content=content,
                headers={
                    "Host": url.authority,
                    "User-Agent": USER_AGENT,
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                    "Connection": "close",
                    **headers,
                },
                extensions={
                    "sni_hostname": url.host,  # also the name that the certificate has to be for
                    "timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout),
                },
            )
            response = await transport.handle_async_request(request)
            try:
                asked = retry_after(response) if "Retry-After" in response.headers else None
                return PublicAnswer(response.status_code, asked)
            finally:
                await response.aclose()


def _literal(address: IPAddress) -> str:
    return f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)


def _why(error: httpx.HTTPError) -> str:
    """In words that tell the endpoint's owner something, and nobody anything of our network."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "the TLS handshake failed"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return "no connection" if isinstance(error, httpx.ConnectError) else "the connection broke"
