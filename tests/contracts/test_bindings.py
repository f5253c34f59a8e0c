"""Who hears what: each binding names an event that exists, each queue has one owner, each call has two ends."""

import re

import pytest

from infra.local.databases import SERVICES
from shared.bus.asyncapi import load_contracts
from shared.bus.binding import Binding
from shared.bus.topology import load_bindings
from shared.contracts.calls import CALLS
from shared.contracts.envelope import EventData
from tests.fixtures.run import ROOT

EVENTS = load_contracts()
WITH_BINDINGS = [name for name in SERVICES if (ROOT / "services" / name / "bindings.py").is_file()]


def all_bindings() -> list[Binding]:
    return [binding for service in WITH_BINDINGS for binding in load_bindings(service)]


def test_every_service_says_what_it_listens_to() -> None:
    assert list(SERVICES) == WITH_BINDINGS


@pytest.mark.parametrize("service", WITH_BINDINGS)
def test_each_binding_names_an_existing_event(service: str) -> None:
    for binding in load_bindings(service):
        assert EVENTS[binding.event.type] is binding.event
        assert binding.queue.startswith(f"{service}.")


def test_the_producer_of_each_event_is_a_service_that_emits_it() -> None:
    """A type nobody emits is a promise nobody keeps; audit types are emitted by the kit."""
    for kind, model in EVENTS.items():
        assert model.producer() in (*SERVICES, "gateway"), kind
        if kind.endswith(".audit.recorded.v1"):
            continue
        of_service = ROOT / "services" / model.producer()
        sources = (of_service if of_service.is_dir() else ROOT / "gateway").rglob("*.py")
        constructed = re.compile(rf"\b{model.__name__}(\.model_validate)?\(")
        assert any(constructed.search(file.read_text()) for file in sources), f"nobody emits {kind}"


def test_no_handler_takes_an_event_twice_in_one_queue() -> None:
    pairs = [(binding.queue, binding.event.type) for binding in all_bindings()]
    assert len(pairs) == len(set(pairs))


def test_every_call_between_services_has_its_route() -> None:
    for call in CALLS:
        if call.callee not in SERVICES:
            continue
        sources = "".join(file.read_text() for file in (ROOT / "services" / call.callee).rglob("*.py"))
        tail = call.path.removeprefix("/internal")
        assert tail in sources, f"{call.callee} does not answer {call.method} {call.path}"
        assert f'"{call.caller}"' in sources, f"{call.callee} does not let {call.caller} in"


def test_an_event_class_without_a_type_is_not_an_event() -> None:
    assert EventData not in EVENTS.values()
