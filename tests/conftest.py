"""Fixtures of every test, the life of the run's servers, and the `integration` mark."""

from __future__ import annotations

import os

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests.fixtures import run
from tests.fixtures.bus import rabbit, rabbit_node
from tests.fixtures.database import postgres, service_database
from tests.fixtures.identity import trust

__all__ = ["postgres", "rabbit", "rabbit_node", "service_database", "trust"]

TOGETHER = ("tests/e2e/test_story", "tests/provisioner/hosts/on_host/")
"""Beginnings of the paths of modules that share a stack, or a host."""
NOT_APPLICABLE = "not applicable: "
SERVERS = frozenset({"postgres", "rabbit_node"})


def _is_controller(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    if _is_controller(config):
        run.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _is_controller(config):
        run.end()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a server, and lets what takes longest begin first."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)
    items.sort(key=_begins)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With CI=true a part that this machine lacks is a failure: a green run has run everything."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None or not _is_controller(session.config):
        return
    skipped = {
        str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", [])
    }
    missing = sorted(reason for reason in skipped if not reason.startswith(NOT_APPLICABLE))
    if missing and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"CI=true, but parts were left out: {'; '.join(missing)}", red=True)


class ByModule(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Each module on one worker, so that what it sets up is set up once; some modules share theirs."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return next((group for group in TOGETHER if module.startswith(group)), module)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule:
    return ByModule(config, log)


def _begins(item: pytest.Item) -> int:
    """Stories first, then real hosts, daemons and other long rooms, then the rest; the order within each is kept."""
    if item.get_closest_marker("stack"):
        return 0
    long = (
        "tests/sandbox/", "tests/provisioner/simulation/", "tests/fuzz/", "tests/faults/",
        "tests/isolation/test_matrix", "tests/provisioner/reconciler/test_kill",
    )  # fmt: skip
    return 1 if item.get_closest_marker("host") or any(room in item.nodeid for room in long) else 2
