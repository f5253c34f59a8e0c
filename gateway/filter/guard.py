"""The filter as the pipeline sees it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Receive, Scope

from gateway.documentation import Documentation
from gateway.filter import strict_json
from gateway.filter.body import BodyReader, replay
from gateway.filter.declared import Declaration, UnexpectedBody
from gateway.proxy import BodyTooLarge
from gateway.routes import Match
from gateway.settings import GatewaySettings
from shared.errors import DomainError


class BadBody(DomainError):
    status = 400
    code = "bad_json"
    title = "The body cannot be read in one way only"


class Guard:
    """Positive validation: of a request that may be made, only what its service declares goes on."""

    def __init__(self, settings: GatewaySettings, documentation: Documentation) -> None:
        self._documentation = documentation
        self._reader = BodyReader(settings.max_body_bytes, settings.body_seconds, settings.max_held_bytes)

    async def examine(
        self, scope: Scope, match: Match, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Receive:
        """What the body is to be read from now. Raises DomainError; a request without query and body costs two
        look-ups and a match per id. Until a service has been asked for its document, its routes pass unexamined:
        it validates for itself."""
        declared = self._documentation.declared.get((match.route.method, match.route.path))
        if declared is None:
            return receive
        declared.check_path(match.params)
        if scope["query_string"]:
            declared.check_query(scope["query_string"])
        if declared.headers:
            declared.check_headers(headers)
        if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
            return receive
        return await self._body(declared, headers, receive)

    async def _body(self, declared: Declaration, headers: Mapping[bytes, bytes], receive: Receive) -> Receive:
        if not declared.media_types and b"transfer-encoding" in headers:
            # Some clients announce a body by this header and then send none.
            try:
                return replay(await self._reader.read(receive, limit=0), receive)
            except BodyTooLarge:
                raise UnexpectedBody(next_action="Send the request without a body.") from None
        declared.check_media_type(headers.get(b"content-type"))
        if not declared.reads_json:
            return receive
        body = await self._reader.read(receive)
        if body:
            self._read(body)
        return replay(body, receive)

    def _read(self, body: bytes) -> None:
        try:
            strict_json.read(body)
        except strict_json.BadJson as error:
            raise BadBody(error.reason, next_action="Send plain JSON (RFC 7493).") from None
