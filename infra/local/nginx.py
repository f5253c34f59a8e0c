"""nginx in front of the gateway: TLS on loopback, limits, and the static status page."""

from __future__ import annotations

from pathlib import Path

from gateway.filter.honeytokens import TRAPS
from infra.local.layout import Layout

TRAPS_LOCATION = f"^{TRAPS.pattern.decode()}$"
"""What the gateway knows as a trap is what nginx passes on to it."""
TEMPLATE = Path(__file__).parents[1] / "nginx/nginx.conf.template"


def render(layout: Layout, port: int, certificate: Path, key: Path) -> Path:
    """Writes the configuration of this stack and returns its path."""
    values = {
        "@RUN@": str(layout.home / "run/nginx"),
        "@LOG@": str(layout.logs),
        "@PORT@": str(port),
        "@CERTIFICATE@": str(certificate),
        "@KEY@": str(key),
        "@GATEWAY@": str(layout.sockets / "gateway.sock"),
        "@TRAPS@": TRAPS_LOCATION,
        "@HEADERS@": str(layout.mount / "infra/nginx/page-headers.conf"),
        "@PAGES@": str(layout.mount / "infra/nginx/pages"),
    }
    text = TEMPLATE.read_text()
    for mark, value in values.items():
        text = text.replace(mark, value)
    target = layout.home / "run/nginx/nginx.conf"
    target.write_text(text)
    return target
