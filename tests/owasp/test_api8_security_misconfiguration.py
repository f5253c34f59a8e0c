"""API8:2023 Security Misconfiguration: every answer carries what it should, and nothing that it should not."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from tests.isolation.cases import TABLE
from tests.owasp.front import Front

ROOT = Path(__file__).parents[2]
WANTED = {
    "strict-transport-security": re.compile(r"max-age=(3153\d{4}|[3-9]\d{7,}); includeSubDomains"),
    "content-security-policy": re.compile(r"default-src 'none'.*frame-ancestors 'none'.*base-uri 'none'"),
    "x-content-type-options": re.compile("nosniff"),
    "referrer-policy": re.compile("no-referrer"),
    "cross-origin-resource-policy": re.compile("same-origin"),
    "cache-control": re.compile("no-store"),
    "x-request-id": re.compile("req_[0-9a-f]{32}"),
}
UNWANTED = ("server", "x-powered-by", "via", "x-sc-identity", "date-of-build", "access-control-allow-origin")
INNER = re.compile(
    r"Traceback|\.py\b|sqlalchemy|asyncpg|postgres|psycopg|/run/sc-|/usr/lib|site-packages|\.sock\b|stack",
    re.I,
)


def check(answer: httpx.Response) -> None:
    for name, form in WANTED.items():
        values = answer.headers.get_list(name)
        assert len(values) == 1, (name, values)
        assert form.search(values[0]), (name, values)
    for name in UNWANTED:
        assert name not in answer.headers
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert not INNER.search(answer.text), answer.text


async def test_every_answer_of_every_kind_has_the_same_headers(stage: Front) -> None:
    a = stage.world.a
    token = await stage.owner(a)
    w = f"/v1/workspaces/{a.workspace_id}"
    answers = {
        "200": await stage.ask(token, "GET", "/v1/me"),
        "public": await stage.ask(None, "GET", "/v1/auth/jwks"),
        "401": await stage.ask(None, "GET", "/v1/me"),
        "401 step-up": await stage.ask(
            await stage.token(a.account_id, signed_in_ago=3600), "DELETE", w, {"confirm_name": a.name}
        ),
        "403": await stage.ask(await stage.token(await stage.person((a, "member"))), "GET", f"{w}/audit"),
        "404": await stage.ask(token, "GET", "/v1/nothing"),
        "404 of a service": await stage.ask(token, "GET", f"{w}/servers/srv_{'0' * 32}"),
        "405": await stage.ask(token, "PUT", "/v1/me"),
        "422": await stage.ask(token, "GET", f"{w}/members?limit=0"),
        "400": await stage.client.post(
            "/v1/workspaces",
            content=b"{",
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Idempotency-Key": "1",
            },
        ),
        "415": await stage.client.post(
            "/v1/workspaces",
            content=b"<a/>",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "text/xml", "Idempotency-Key": "1"},
        ),
    }
    for name, answer in answers.items():
        assert answer.status_code == 422 or name[:3] in (str(answer.status_code), "pub"), (
            name,
            answer.status_code,
        )
        check(answer)


async def test_no_other_origin_is_let_in(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    for origin in (
        "https://evil.test",
        "null",
        "http://localhost",
        "https://localhost.evil.test",
        "https://localhost",
    ):
        answer = await stage.ask(token, "GET", "/v1/me", None, Origin=origin)
        assert not [name for name in answer.headers if name.startswith("access-control-")], origin
        preflight = await stage.client.options(
            "/v1/me", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
        )
        assert preflight.status_code in (400, 405)
        assert not [name for name in preflight.headers if name.startswith("access-control-")]


async def test_methods_that_reflect_or_tunnel_are_refused_on_every_route(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    for route in TABLE.routes:
        path = re.sub(r"\{\w+\}", "x", route.path)
        for method in ("TRACE", "TRACK", "CONNECT", "DEBUG"):
            answer = await stage.ask(token, method, path)
            assert answer.status_code in (400, 404, 405), (method, path)
            assert token not in answer.text


async def test_files_and_consoles_that_scanners_look_for_are_not_there(stage: Front) -> None:
    for path in (
        "/.git/config", "/.env", "/.svn/entries", "/.DS_Store", "/server-status", "/actuator/env", "/debug/pprof",
        "/phpinfo.php", "/wp-login.php", "/admin", "/console", "/swagger-ui.html", "/docs", "/redoc", "/openapi.json",
        "/graphql", "/v1/debug", "/v1/admin", "/v1/metrics", "/v1/internal/memberships", "/internal/introspect",
    ):  # fmt: skip
        answer = await stage.client.get(path)
        assert answer.status_code in (400, 404), path


async def test_a_service_that_breaks_tells_nothing_of_itself(stage: Front) -> None:
    """The database of a service is gone: the caller gets a problem with an id, not a driver's text."""
    token = await stage.owner(stage.world.a)
    await stage.world.apps["dns"].state.database.dispose()

    class Broken:
        def transaction(self, *_: object, **__: object) -> object:
            raise RuntimeError("postgresql+asyncpg://dns_app:hunter2@/sc_dns?host=/run/x.sock Traceback")

        async def dispose(self) -> None:
            return None

    stage.world.apps["dns"].state.database = Broken()
    answer = await stage.ask(token, "GET", f"/v1/workspaces/{stage.world.a.workspace_id}/zones")
    assert answer.status_code in (500, 503)
    check(answer)
    assert "hunter2" not in answer.text


def test_nginx_passes_on_nothing_but_the_api_and_its_health() -> None:
    text = (ROOT / "infra/nginx/nginx.conf.template").read_text()
    locations = re.findall(r"location\s+([^{]+?)\s*\{([^}]*)\}", text)
    passed = [where for where, body in locations if "proxy_pass" in body]
    assert passed == ["~ ^/(v1/|healthz$|readyz$)"]
    assert "server_tokens off" in text
    assert "autoindex" not in text
    assert re.search(r"ssl_protocols TLSv1\.2 TLSv1\.3;", text)


async def test_cookies_are_for_this_host_and_out_of_reach_of_scripts(stage: Front) -> None:
    _, email = await stage.with_password("a long sentence nobody says")
    answer = await stage.client.post(
        "/v1/auth/sessions", json={"email": email, "password": "a long sentence nobody says"}
    )
    assert answer.status_code == 201
    for cookie in answer.headers.get_list("set-cookie"):
        name, _, rest = cookie.partition("=")
        flags = {part.strip().lower() for part in rest.split(";")[1:]}
        assert name.startswith("__Host-")
        assert {"secure", "httponly", "path=/"} <= flags
        assert flags & {"samesite=strict", "samesite=lax"}
        assert not any(flag.startswith("domain") for flag in flags)
