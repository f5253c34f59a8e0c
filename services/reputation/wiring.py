"""Puts the parts of the worker together."""

from __future__ import annotations

from dataclasses import dataclass

from services.reputation.blacklists.catalogue import load
from services.reputation.checks.checker import Checker
from services.reputation.checks.service import Pace
from services.reputation.providers.dns_resolver import DnsResolver
from services.reputation.settings import WorkerSettings
from shared.clock import Clock, SystemClock


@dataclass(frozen=True)
class Resources:
    checker: Checker
    clock: Clock
    pace: Pace


def build_resources(settings: WorkerSettings) -> Resources:
    catalogue = load(settings.blacklists_file, settings.blacklist_keys)
    resolver = DnsResolver(settings.resolver, timeout=settings.query_seconds)
    pace = Pace(settings.monitor_seconds, settings.confirm_seconds, settings.unknown_retry_seconds)
    return Resources(Checker(catalogue, resolver), SystemClock(), pace)
