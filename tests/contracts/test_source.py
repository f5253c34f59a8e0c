"""What shipped code never does with text that somebody else wrote, read off the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("gateway", "shared", "services")
OUR_OWN_PATTERNS = {
    "gateway/filter/declared.py": "what the services declare of their parameters",
    "gateway/filter/signatures.py": "its own signatures, joined",
    "shared/http/client.py": "paths of shared/contracts/calls.py, escaped",
    "shared/web/middleware.py": "the pattern of our ids",
    "services/auth/second_factor/recovery_codes.py": "its own alphabet",
}
"""Files with regular expressions that are put together, and out of what."""
FROM_FILES = {
    "services/provisioner/hosts/cloud_init.py": "its own directory",
    "services/provisioner/hosts/bundle/render.py": "its own directory",
}
"""Files with a template engine, and where its templates are loaded from."""
TEMPLATE_OF_TEXT = frozenset({"from_string", "Template", "DictLoader", "FunctionLoader"})


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """(call, what it is called on, name)"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, ast.unparse(node.func.value), node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node, "", node.func.id


def builds_patterns(tree: ast.AST) -> bool:
    """Whether a regular expression is anything but a literal."""
    return any(
        owner == "re" and name != "escape" and not isinstance(call.args[0], ast.Constant)
        for call, owner, name in calls(tree)
        if call.args
    )


def templates(tree: ast.AST) -> set[str]:
    """`text`: a template out of a value; `file`: an engine that loads its templates."""
    found = set()
    for call, _, name in calls(tree):
        value = call.func.value if isinstance(call.func, ast.Attribute) else None
        if name in TEMPLATE_OF_TEXT or (
            name in ("format", "format_map") and not isinstance(value, ast.Constant)
        ):
            found.add("text")
        if name == "FileSystemLoader":
            found.add("file")
    return found


def shipped() -> dict[str, ast.AST]:
    files = sorted(file for room in SHIPPED for file in (ROOT / room).rglob("*.py"))
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text("utf-8")) for file in files}


@pytest.mark.asvs("1.2.9")
def test_nobody_s_text_becomes_a_regular_expression() -> None:
    assert {name for name, tree in shipped().items() if builds_patterns(tree)} == set(OUR_OWN_PATTERNS)


@pytest.mark.asvs("1.3.7")
def test_no_template_is_made_of_text_that_comes_in() -> None:
    found = {name: templates(tree) for name, tree in shipped().items()}
    assert [name for name, kinds in found.items() if "text" in kinds] == []
    assert {name for name, kinds in found.items() if "file" in kinds} == set(FROM_FILES)


@pytest.mark.parametrize(
    "code", ["re.compile(given)", "re.sub(f'^{given}', '', text)", "re.search('a' + given, text)"]
)
def test_a_regular_expression_out_of_a_value_is_noticed(code: str) -> None:
    assert builds_patterns(ast.parse(code))
    assert not builds_patterns(ast.parse("re.compile(r'^[a-z]+$')"))


@pytest.mark.parametrize(
    "code", ["given.format(name=1)", "Environment().from_string(given)", "string.Template(given)"]
)
def test_a_template_out_of_a_value_is_noticed(code: str) -> None:
    assert templates(ast.parse(code)) == {"text"}
    assert templates(ast.parse("'{} of {}'.format(1, 2)")) == set()
