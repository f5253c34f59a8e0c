"""Outgoing HTTP. The only place that knows the HTTP library, so that it can be replaced here.

`vendor_client` speaks to other people's APIs over verified TLS; `InternalClient` to our own services over their unix
sockets, with a token that this service signs.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from shared.contracts.calls import CALLS
from shared.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from shared.http.bounded import MAX_BYTES, MAX_SECONDS, BoundedTransport
from shared.http.errors import VendorAuthFailed, VendorRateLimited, VendorRejected, VendorUnavailable
from shared.identity.files import FileSigner
from shared.identity.internal import HEADER, mint_internal
from shared.observability.trace import current_traceparent
from shared.settings import ServiceSettings

AsyncClient = httpx.AsyncClient
Response = httpx.Response
HTTPError = httpx.HTTPError
TimeoutException = httpx.TimeoutException

USER_AGENT = "SendChief/0.1"
INTERNAL_TIMEOUT = 10.0


def vendor_client(
    base_url: str,
    ca_file: Path | None = None,
    timeout: float = 10.0,
    *,
    headers: Mapping[str, str] | None = None,
    max_connections: int = 20,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> httpx.AsyncClient:
    """A client for one vendor's API. Redirects are not followed, proxies of the environment are not used, and an
    answer has an end (`bounded.py`): `max_bytes`, and `max_seconds` from the request to its last byte.

    `ca_file` adds a certificate authority to the system's.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=str(ca_file))
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
    return httpx.AsyncClient(
        base_url=base_url,
        transport=BoundedTransport(
            httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False),
            max_bytes=max_bytes,
            max_seconds=max_seconds,
        ),
        timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})},
        trust_env=False,
        follow_redirects=False,
    )


async def vendor_request(
    client: httpx.AsyncClient, method: str, url: str, *, vendor: str, **options: Any
) -> httpx.Response:
    """One request whose failure is a type: `VendorUnavailable`, `VendorRateLimited`, `VendorAuthFailed`,
    `VendorRejected`. The answer of a success is returned as it is."""
    try:
        response = await client.request(method, url, **options)
    except httpx.HTTPError as error:
        raise VendorUnavailable(type(error).__name__, vendor=vendor) from error
    status = response.status_code
    if status < 400:
        return response
    if status == 429:
        raise VendorRateLimited(retry_after(response), vendor=vendor)
    if status >= 500:
        raise VendorUnavailable(f"status {status}", vendor=vendor, status=status)
    body = _json_or_text(response)
    if status in (401, 403):
        raise VendorAuthFailed(f"status {status}", vendor=vendor, status=status)
    raise VendorRejected(status, _error_code(body), body, vendor=vendor)


def retry_after(response: httpx.Response, default: float = 1.0) -> float:
    """Seconds from `Retry-After`; the date form and nonsense count as the default."""
    text = response.headers.get("Retry-After", "")
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d+)?", text) else default


def _json_or_text(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return response.text[:2000]


def _error_code(body: Any) -> str:
    """Where vendors put the word to branch on: Scaleway `type`, Stripe `error.code`, Cloudflare `errors[0].code`."""
    if isinstance(body, dict):
        error = body.get("error")
        if isinstance(error, dict):
            return str(error.get("code") or error.get("type") or "")
        errors = body.get("errors")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            return str(errors[0].get("code", ""))
        return str(body.get("type") or body.get("code") or body.get("name") or "")
    return ""


class CallNotAllowed(RuntimeError):
    """The call is not in `shared.contracts.calls`: a defect of the caller."""


class InternalClient:
    """Calls one of our services. Each request carries a fresh token, valid 60 s, for that service alone."""

    def __init__(
        self, settings: ServiceSettings, callee: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        if settings.identity_key_file is None:
            raise ValueError("SC_IDENTITY_KEY_FILE is not set: calls to services must be signed")
        self._caller = settings.service
        self._callee = callee
        self._signer = FileSigner(settings.identity_key_file, settings.service)
        socket = settings.services_dir / f"{callee}.sock"
        self._client = httpx.AsyncClient(
            transport=transport or httpx.AsyncHTTPTransport(uds=str(socket), retries=1),
            base_url=f"http://{callee}",
            timeout=INTERNAL_TIMEOUT,
            trust_env=False,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        workspace_id: str | None = None,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> Any:
        """The decoded JSON answer, or None for an empty one.

        Problems come back as the errors they were (`NotFound`, `Conflict`, `Invalid`, …); no answer or a 5xx is
        `Unavailable`. `CallNotAllowed` when the call is not on the list.
        """
        if not any(_allows(call, self._caller, self._callee, method, path) for call in CALLS):
            raise CallNotAllowed(f"{self._caller} may not call {method} {path} of {self._callee}")
        token = mint_internal(
            self._signer, self._callee, subject=self._caller, workspace_id=workspace_id, request_id=request_id
        )
        headers = {HEADER: token}
        if (traceparent := current_traceparent()) is not None:
            headers["traceparent"] = traceparent
        try:
            response = await self._client.request(method, path, json=json, params=params, headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._callee} does not answer") from error
        return _answer(response, self._callee)

    async def aclose(self) -> None:
        await self._client.aclose()


def _allows(call: Any, caller: str, callee: str, method: str, path: str) -> bool:
    if (call.caller, call.callee, call.method) != (caller, callee, method):
        return False
    pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/?#]+", re.escape(call.path))
    return re.fullmatch(pattern, path) is not None


_ERRORS = {401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 422: Invalid}


def _answer(response: httpx.Response, callee: str) -> Any:
    if response.status_code < 300:
        return response.json() if response.content else None
    body = _json_or_text(response)
    detail = body.get("detail", "") if isinstance(body, dict) else ""
    kind = _ERRORS.get(response.status_code)
    if kind is not None:
        raise kind(detail or f"{callee} answered {response.status_code}")
    if response.status_code in (429, 503):
        raise Unavailable(detail or f"{callee} is busy", retry_after=int(retry_after(response)))
    raise Unavailable(f"{callee} answered {response.status_code}")
