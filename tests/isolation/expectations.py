"""`expected.csv`: what the product should answer, written by hand and never derived from `permissions.toml`.

One line per route. `scope` is what an API key needs (`-`: people only). Each other column is a class of principals
(see `cast.py`) and holds the status of a request about the principal's own workspace.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from tests.isolation.cases import Case
from tests.isolation.cast import COLUMNS

FILE = Path(__file__).with_name("expected.csv")


@dataclass(frozen=True)
class Expectation:
    scope: str | None
    status: dict[str, int]
    """column → status."""


class BadExpectations(ValueError):
    """The file says something twice, or nothing where it should."""


def load(file: Path = FILE) -> dict[str, Expectation]:
    """route (`GET /v1/…`) → what is expected. Raises BadExpectations."""
    found: dict[str, Expectation] = {}
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != ["route", "scope", *COLUMNS]:
            raise BadExpectations(f"{file.name}: the columns are route, scope, {', '.join(COLUMNS)}")
        for line in reader:
            route = line["route"]
            if route in found:
                raise BadExpectations(f"{file.name}: {route} is there twice")
            try:
                status = {column: int(line[column]) for column in COLUMNS}
            except (TypeError, ValueError):
                raise BadExpectations(f"{file.name}: {route}: each column holds a status") from None
            found[route] = Expectation(None if line["scope"] == "-" else line["scope"], status)
    return found


def of(case: Case, expectations: dict[str, Expectation]) -> Expectation:
    """Raises BadExpectations with what to write."""
    expectation = expectations.get(case.name)
    if expectation is None:
        raise BadExpectations(
            f"{case.name} has no line in {FILE.name}. Think about who should be able to do this, then write: "
            f"{case.name},<scope of an API key, or ->,{','.join(f'<{column}>' for column in COLUMNS)}. "
            "For a route of a workspace nobody is 401, stranger and foreign_key are 404; a role or key that may "
            "not is 403; stale_owner is 401 where a fresh sign-in is asked."
        )
    return expectation
