"""From the rounds to figures, the targets, a table for people and JSON for machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from bench.gateway.variants import BEHIND_NGINX, DIRECT, GATEWAY, HAPROXY


@dataclass(frozen=True)
class Figure:
    """One variant in one round. CPU of all processes of the variant, in µs a request; latencies in ms."""

    per_second: float
    p50: float
    p99: float
    cpu_us: float
    others: float
    """Cores' worth of work that was neither the bench's load nor the variant: what ran beside."""


Round = dict[str, Figure]


@dataclass(frozen=True)
class Target:
    name: str
    limit: float
    at_least: bool
    ratio: Callable[[Round], float]

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


TARGETS: Final = (
    Target(
        "gateway / HAProxy jwt_verify, req/s",
        1.3,
        True,
        lambda seen: seen[GATEWAY].per_second / seen[HAPROXY].per_second,
    ),
    Target(
        "nginx -> socket -> gateway / HAProxy jwt_verify, req/s",
        1.2,
        True,
        lambda seen: seen[BEHIND_NGINX].per_second / seen[HAPROXY].per_second,
    ),
    Target(
        "gateway / direct, CPU a request",
        1.6,
        False,
        lambda seen: seen[GATEWAY].cpu_us / seen[DIRECT].cpu_us,
    ),
    Target("gateway / direct, p99", 2.0, False, lambda seen: seen[GATEWAY].p99 / seen[DIRECT].p99),
)


def summarize(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over the rounds; ratios are taken within each round first."""
    variants = {
        name: {
            field: round(median(getattr(one[name], field) for one in rounds), 3)
            for field in ("per_second", "p50", "p99", "cpu_us", "others")
        }
        for name in rounds[0]
    }
    targets = []
    for target in TARGETS:
        ratios = sorted(target.ratio(one) for one in rounds)
        value = median(ratios)
        targets.append(
            {
                "name": target.name,
                "limit": target.limit,
                "at_least": target.at_least,
                "seen": round(value, 3),
                "lowest": round(ratios[0], 3),
                "highest": round(ratios[-1], 3),
                "met": target.met(value),
            }
        )
    return {"variants": variants, "targets": targets}


def table(summary: dict[str, Any]) -> str:
    direct, haproxy = summary["variants"][DIRECT], summary["variants"][HAPROXY]
    lines = [
        "| variant | req/s | p50 / p99 ms | CPU µs | CPU x direct | req/s x HAProxy | beside, cores |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, seen in summary["variants"].items():
        lines.append(
            f"| {name} | {seen['per_second']:,.0f} | {seen['p50']:.2f} / {seen['p99']:.2f} | {seen['cpu_us']:.0f} "
            f"| {seen['cpu_us'] / direct['cpu_us']:.2f} | {seen['per_second'] / haproxy['per_second']:.2f} "
            f"| {seen['others']:.2f} |"
        )
    lines.append("")
    for target in summary["targets"]:
        sign = ">=" if target["at_least"] else "<="
        lines.append(
            f"{'met   ' if target['met'] else 'MISSED'} {target['name']}: {target['seen']:.2f} "
            f"({target['lowest']:.2f} to {target['highest']:.2f}), target {sign} {target['limit']}"
        )
    return "\n".join(lines)
