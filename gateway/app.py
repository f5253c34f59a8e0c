"""The gateway as an ASGI application: wiring, its own few routes, and the outermost frame of every request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateway.access_log import AccessLog
from gateway.authenticate import AccessTokens, ApiKeys
from gateway.authority import Authority, Snapshot
from gateway.documentation import Documentation
from gateway.filter.guard import Guard
from gateway.filter.threats import ThreatPublisher
from gateway.head import KnownHeads
from gateway.mint import Minter
from gateway.pipeline import Pipeline
from gateway.pool import ServiceDown
from gateway.proxy import Broken, ClientGone
from gateway.replies import complete, plain_problem, refusal
from gateway.routes import RouteTable
from gateway.settings import GatewaySettings
from gateway.stream import AuthorityStream
from gateway.trail import Trail, new_request_id
from gateway.upstreams import Upstreams
from shared.bus.supervise import pause, supervise
from shared.clock import SystemClock
from shared.errors import DomainError
from shared.identity import FileSigner
from shared.observability.logging import get_logger

FRESH = Gauge("sc_gateway_authority_fresh", "1 while memberships are known without asking")
SEQUENCE = Gauge(
    "sc_gateway_authority_sequence", "Number of the last change of authority that is in effect here"
)
DOCUMENT_REFRESH_SECONDS = 60.0
START_CHECK_SECONDS = 10.0
_log = get_logger("access")


class Gateway:
    """`start` and `stop` are called by the ASGI lifespan, or by tests."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.table = RouteTable.load(settings.permissions_file)
        self.upstreams = Upstreams(settings)
        self.authority = Authority(silence_seconds=settings.silence_seconds)
        self.tokens = AccessTokens(settings.public_url, self.upstreams.access_keys)
        keys = ApiKeys(self.authority, self.upstreams.introspect)
        signer = FileSigner(settings.identity_key_file, "gateway", clock=SystemClock())
        self.documentation = Documentation(self.table, self.upstreams.document)
        self.guard = Guard(settings, self.documentation)
        self.pipeline = Pipeline(
            settings,
            self.table,
            self.authority,
            self.tokens,
            keys,
            Minter(signer, self.table),
            self.upstreams,
            self.guard,
        )
        self.access_log = AccessLog()
        self.known_heads = KnownHeads()
        self._registry = CollectorRegistry()
        self._registry.register(self.access_log)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        stream = AuthorityStream(self.settings, self.authority, self._snapshot)
        work = {"keys": self._refresh_keys, "documentation": self._check_documentation}
        if self.settings.amqp_url is not None:
            work["authority stream"] = stream.run
        if self.settings.threat_amqp_url is not None:
            work["threats"] = ThreatPublisher(self.settings, self.guard.threats).run
        self._tasks = [
            asyncio.create_task(supervise(name, run, self._stop), name=name) for name, run in work.items()
        ]

    async def stop(self) -> None:
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.upstreams.aclose()
        self.access_log.flush()

    async def _snapshot(self) -> Snapshot:
        return Snapshot.parse(await self.upstreams.memberships())

    async def _refresh_keys(self) -> None:
        """Keys are also fetched when a token names an unknown one; this makes a withdrawn one go."""
        while True:
            await self.tokens.refresh()
            await asyncio.sleep(self.settings.key_refresh_seconds)

    async def _check_documentation(self) -> None:
        """Soon after the services are there, and then for what a newer one of them declares."""
        while not self._stop.is_set():
            settled = await self.documentation.check()
            await pause(self._stop, DOCUMENT_REFRESH_SECONDS if settled else 2.0)

    async def _contradicted(self) -> bool:
        """Whether a service that answers now has other routes than the table. One that is away is asked later, and
        a contradiction seen then keeps this gateway from becoming ready."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_CHECK_SECONDS):
                await self.documentation.check()
        return bool(self.documentation.contradictions)

    # -- ASGI ----------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        if await self._contradicted():
            await self.upstreams.aclose()
            await send({"type": "lifespan.startup.failed", "message": "the route table is not the services'"})
            return
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = _OWN.get(scope["raw_path"])
        if own is not None and scope["method"] == "GET":
            response = await getattr(self, own)()
            await _reply(response, [], new_request_id(), scope, receive, send)
            return
        trail = Trail(request_id=new_request_id())
        started = time.perf_counter()
        status = await self._answer(scope, receive, send, trail)
        self.guard.conduct.note(trail, status, scope["raw_path"])
        self._record(scope, trail, status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, trail: Trail) -> int:
        """The status that was sent; 499 when the caller hung up, 502 when an answer broke off midway."""
        try:
            return await self.pipeline.run(scope, receive, send, trail)
        except DomainError as error:
            response = refusal(error, trail.request_id)
        except ServiceDown as error:
            _log.warning("service down", service=trail.route and trail.route.service, reason=error.reason)
            response = plain_problem(
                503, "unavailable", "Temporarily unavailable", "A component that this needs does not answer.",
                trail.request_id,
            )  # fmt: skip
        except ClientGone:
            return 499
        except Broken as error:
            _log.warning(
                "answer broke off", service=trail.route and trail.route.service, reason=error.args[0]
            )
            return 502  # the server closes the connection when an answer has been left unfinished
        except Exception:  # the outermost frame: logged in full here, and nothing of it leaves
            _log.exception("unexpected failure", request_id=trail.request_id)
            if trail.exchange is not None and trail.exchange.begun:
                return 500
            response = plain_problem(
                500, "internal", "Something went wrong on our side",
                "It has been logged under the instance given here.", trail.request_id,
            )  # fmt: skip
        limits = trail.verdict.headers() if trail.verdict is not None else []
        await _reply(response, limits, trail.request_id, scope, receive, send)
        return response.status_code

    def _record(self, scope: Scope, trail: Trail, status: int, seconds: float) -> None:
        self.access_log.note(
            trail.request_id,
            scope["method"],
            trail.route.path if trail.route else "unmatched",
            status,
            seconds,
            trail.principal.subject if trail.principal else None,
            trail.workspace_id,
            trail.client_ip,
        )

    # -- own routes ----------------------------------------------------------------------------------------

    async def healthz(self) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(self) -> Response:
        """Ready while tokens can be checked, memberships are known, and no service contradicts the table."""
        checks = {
            "keys": "ok" if self.tokens.ready else "failed",
            "authority": "ok" if self.authority.fresh else "failed",
            "routes": "failed" if self.documentation.state == "failed" else "ok",
        }
        ready = all(state == "ok" for state in checks.values())
        return JSONResponse({"ready": ready, "checks": checks}, status_code=200 if ready else 503)

    async def metrics(self) -> Response:
        FRESH.set(self.authority.fresh)
        SEQUENCE.set(self.authority.sequence)
        return Response(generate_latest() + generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self) -> Response:
        with contextlib.suppress(ServiceDown):
            await self.documentation.load()
        return JSONResponse(self.documentation.document)

    async def docs(self) -> Response:
        with contextlib.suppress(ServiceDown):
            await self.documentation.load()
        page = self.documentation.page()
        return HTMLResponse(page.html, headers={"Content-Security-Policy": page.policy})


_OWN = {
    b"/healthz": "healthz",
    b"/readyz": "readyz",
    b"/metrics": "metrics",
    b"/v1/openapi.json": "openapi",
    b"/v1/docs": "docs",
}


async def _reply(
    response: Response,
    extra: Sequence[tuple[bytes, bytes]],
    request_id: str,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Sends an answer of our own with the headers that every answer carries."""
    names = {name for name, _ in response.raw_headers}
    added = complete(list(extra), request_id)
    if b"cache-control" not in names:
        added.append((b"cache-control", b"no-store"))
    response.raw_headers += [(name, value) for name, value in added if name not in names]
    await response(scope, receive, send)
