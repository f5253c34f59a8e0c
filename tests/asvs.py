"""OWASP ASVS 5.0 and our tests: which requirement is kept by which test.

    python -m tests.asvs          what is covered of what is claimed, and what is not claimed, with why

`tests/asvs.tsv` lists the requirements of levels 1 and 2 that apply to a product like this, each with the way in which
it is kept: `test` (marked with `@pytest.mark.asvs("8.4.1")`), `lint` (a rule of `make check`), `file` (a document),
`n/a` or `later`. The words are ours; the requirements' own stand at owasp.org under their ids.
"""

from __future__ import annotations

import ast
import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
LIST = TESTS / "asvs.tsv"
CLAIMED = ("test", "lint", "file")


@dataclass(frozen=True)
class Requirement:
    """`why` names the rule or the file (`path#heading`) of a claim, or says why nothing is claimed."""

    id: str
    level: str
    what: str
    kept_by: str
    why: str


def requirements() -> list[Requirement]:
    with LIST.open(newline="") as lines:
        return [Requirement(**row) for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]


def marks() -> dict[str, list[str]]:
    """Requirement → tests that carry its mark, as `path::name`."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for requirement in _marked(node):
                    found[requirement].append(f"{file.relative_to(ROOT)}::{node.name}")
    return found


def _marked(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.asvs":
            for argument in decorator.args:
                yield str(ast.literal_eval(argument))


def main() -> int:
    listed, tests = requirements(), marks()
    by_way = Counter(each.kept_by for each in listed)
    claimed = [each for each in listed if each.kept_by in CLAIMED]
    covered = [each for each in claimed if each.kept_by != "test" or tests.get(each.id)]
    print(f"claimed {len(claimed)} of {len(listed)} that apply, covered {len(covered)}: {dict(by_way)}")
    for each in claimed:
        print(f"  {each.id:8} {each.level}  {each.what}: {', '.join(tests.get(each.id, [])) or each.why}")
    print("not claimed")
    for each in listed:
        if each.kept_by not in CLAIMED:
            print(f"  {each.id:8} {each.level}  {each.what}: {each.why} ({each.kept_by})")
    return 0 if covered == claimed else 1


if __name__ == "__main__":
    sys.exit(main())
