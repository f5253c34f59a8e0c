"""One line and two figures for every request, gathered on the hot path and written in batches off it.

Through the logging kit a line costs as much as the whole forwarding of its request. Here a line is made of values
with a closed alphabet (our own ids, routes of the table, an address that was parsed), so it needs no escaping and
nothing to redact, and up to a quarter of a second of lines goes out in one write. All else is logged by the kit.
"""

from __future__ import annotations

import asyncio
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

FLUSH_SECONDS: Final = 0.25
MAX_HELD: Final = 1000
"""Lines after which nobody waits for the quarter of a second."""
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class _Series:
    """Requests of one method, route and status. `counts[n]` took at most `BUCKETS[n]` seconds, the last one more."""

    text: str
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class AccessLog(Collector):
    """`write` takes whole lines. Only used from the event loop's thread; scrapes too are answered there."""

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write = write
        self._series: dict[tuple[str, str, int], _Series] = {}
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._stamp = ""

    def note(
        self,
        request_id: str,
        method: str,
        route: str,
        status: int,
        seconds: float,
        subject: str | None,
        workspace_id: str | None,
        client_ip: str | None,
    ) -> None:
        series = self._series.get((method, route, status)) or self._begin(method, route, status)
        series.counts[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds
        self._lines.append(
            f'{{"request_id": "{request_id}", {series.text}, "milliseconds": {seconds * 1000:.1f}, '
            f'"subject": {_text(subject)}, "workspace_id": {_text(workspace_id)}, '
            f'"client_ip": {_text(client_ip)}, "timestamp": "{self._now()}"}}\n'
        )
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        if len(self._lines) >= MAX_HELD:
            self.flush()

    def flush(self) -> None:
        """Writes what is held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            (self._write or sys.stderr.write)("".join(lines))

    def collect(self) -> Iterator[Metric]:
        """For Prometheus: how many of each status, and how long each route takes."""
        requests = CounterMetricFamily(
            "sc_gateway_requests", "Requests by route and status", labels=["method", "route", "status"]
        )
        seconds = HistogramMetricFamily(
            "sc_gateway_seconds", "Seconds until the answer ended", labels=["method", "route"]
        )
        routes: dict[tuple[str, str], _Series] = {}
        for (method, route, status), series in self._series.items():
            requests.add_metric([method, route, str(status)], sum(series.counts))
            total = routes.setdefault((method, route), _Series(""))
            total.counts = [ours + more for ours, more in zip(total.counts, series.counts, strict=True)]
            total.seconds += series.seconds
        for labels, total in routes.items():
            seconds.add_metric(list(labels), _cumulative(total.counts), total.seconds)
        yield requests
        yield seconds

    def _begin(self, method: str, route: str, status: int) -> _Series:
        text = (
            f'"method": "{method}", "route": "{route}", "status": {status}, "event": "request", '
            '"level": "info", "logger": "access", "service": "gateway"'
        )
        return self._series.setdefault((method, route, status), _Series(text))

    def _now(self) -> str:
        """ISO 8601 in UTC with microseconds; the part up to the second is made once a second."""
        second, fraction = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{fraction // 1000:06d}Z"


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    total, found = 0, []
    for limit, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        total += count
        found.append((limit, float(total)))
    return found
