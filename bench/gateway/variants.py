"""What is compared, as data: each variant's processes and the port on which the load meets it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.gateway.stage import ISSUER, Stage

PEERS: Final = Path(__file__).with_name("peers")
DIRECT, HAPROXY, GATEWAY, BEHIND_NGINX = (
    "direct: uvicorn, Starlette",
    "HAProxy, ES256 jwt_verify",
    "gateway",
    "nginx -> unix socket -> gateway",
)
AUTH_REQUEST, HTTPX = "nginx auth_request -> authorizer", "FastAPI + httpx proxy"


@dataclass(frozen=True)
class Variant:
    name: str
    port: int
    commands: list[list[str]]
    environment: dict[str, str] = field(default_factory=dict)


def variants(stage: Stage, first_port: int) -> list[Variant]:
    """In the order of a round: what is compared with one another stands side by side."""
    ports = iter(range(first_port, first_port + 6))
    environment = stage.environment()
    return [
        Variant(DIRECT, port := next(ports), [_python("direct", stage, port=port)]),
        Variant(GATEWAY, port := next(ports), [_python("edge", stage, port=port)], environment),
        Variant(HAPROXY, port := next(ports), [_haproxy(stage, port)]),
        Variant(
            BEHIND_NGINX,
            port := next(ports),
            [
                _python("edge", stage, socket=stage.directory / "gateway.sock"),
                _nginx(stage, "front", _front(stage, port)),
            ],
            environment,
        ),
        Variant(
            AUTH_REQUEST,
            port := next(ports),
            [
                _python("authorizer", stage, socket=stage.directory / "authorizer.sock"),
                _nginx(stage, "auth-request", _auth_request(stage, port)),
            ],
            environment,
        ),
        Variant(HTTPX, port := next(ports), [_python("httpx_proxy", stage, port=port)]),
    ]


def _python(peer: str, stage: Stage, *, port: int | None = None, socket: Path | None = None) -> list[str]:
    where = ["--port", str(port)] if port else ["--socket", str(socket)]
    return [sys.executable, "-m", f"bench.gateway.peers.{peer}", str(stage.directory), *where]


def _haproxy(stage: Stage, port: int) -> list[str]:
    values = {
        "@PORT@": str(port),
        "@ISSUER@": ISSUER,
        "@PUBLIC_KEY@": str(stage.directory / "access.pem"),
        "@SERVICE@": str(stage.directory / "provisioner.sock"),
    }
    text = (PEERS / "haproxy.cfg").read_text()
    for mark, value in values.items():
        text = text.replace(mark, value)
    path = stage.directory / "haproxy.cfg"
    path.write_text(text)
    return ["haproxy", "-db", "-f", str(path)]


def _nginx(stage: Stage, role: str, servers: str) -> list[str]:
    return ["nginx", "-p", str(stage.directory), "-c", str(stage.nginx(role, servers))]


def _front(stage: Stage, port: int) -> str:
    """As infra/nginx/nginx.conf.template forwards to the gateway, without TLS: wrk and HAProxy speak none either."""
    return f"""
  upstream gateway {{
    server unix:{stage.directory}/gateway.sock;
    keepalive 64;
  }}
  log_format plain '$time_iso8601 $remote_addr "$request_method $uri" $status $body_bytes_sent $request_time';
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    access_log {stage.directory}/front-access.log plain buffer=32k flush=1s;
    location / {{
      proxy_pass http://gateway;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-Host "";
      proxy_set_header Forwarded "";
      proxy_max_temp_file_size 0;
      proxy_request_buffering off;
    }}
  }}"""


def _auth_request(stage: Stage, port: int) -> str:
    return f"""
  upstream authorizer {{ server unix:{stage.directory}/authorizer.sock; keepalive 64; keepalive_requests 10000000; }}
  upstream service {{ server unix:{stage.directory}/provisioner.sock; keepalive 64; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      auth_request /authorize;
      auth_request_set $identity $upstream_http_x_sc_identity;
      proxy_set_header Connection "";
      proxy_set_header Authorization "";
      proxy_set_header X-SC-Identity $identity;
      proxy_pass http://service;
    }}
    location = /authorize {{
      internal;
      proxy_pass http://authorizer;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Original-Method $request_method;
    }}
  }}"""


def services(stage: Stage, servers: str) -> Variant:
    """What stands behind every variant."""
    return Variant("services", 0, [_nginx(stage, "services", servers)])
