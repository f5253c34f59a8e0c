"""Each import contract of pyproject.toml can fail: a violation of each is planted in a copy of the tree.

A contract whose patterns match nothing passes for ever and guards nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("services", "gateway", "shared", "sandbox", "infra")
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]

PLANTED: dict[str, dict[str, str]] = {
    "Services never import each other": {"services/auth/planted_a.py": "import services.dns\n"},
    "Edges point down": {"shared/planted_b.py": "import services.auth\n"},
    "What ships never imports the sandbox or the local stack": {"gateway/planted_c.py": "import sandbox\n"},
    "Every feature is layered the same way": {
        "services/auth/planted_d/__init__.py": "",
        "services/auth/planted_d/endpoints.py": "",
        "services/auth/planted_d/service.py": "from services.auth.planted_d import endpoints\n",
    },
    "Only the key service's wiring touches a KMS": {
        "services/vault/planted_kms.py": "from services.vault.keyservice.providers import transit\n",
    },
    "Only wiring touches vendors": {
        "services/auth/providers/planted_e.py": "",
        "services/auth/planted_e/__init__.py": "",
        "services/auth/planted_e/repository.py": "from services.auth.providers import planted_e\n",
    },
    "Event contracts stay pure": {"shared/contracts/planted_f.py": "import fastapi\n"},
    "Endpoints hold no SQL": {
        "services/auth/planted_g/__init__.py": "",
        "services/auth/planted_g/endpoints.py": "import sqlalchemy\n",
    },
    "Only shared.http speaks httpx": {"gateway/planted_h.py": "import httpx\n"},
    "Only shared.identity speaks jose": {"services/vault/planted_i.py": "import jose\n"},
}


def copy_of_tree(target: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)


def verdicts(tree: Path) -> dict[str, str]:
    """KEPT or BROKEN for each contract."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    printed = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False).stdout
    return dict(re.findall(r"^(.+?) (KEPT|BROKEN)", printed, re.MULTILINE))


@pytest.fixture(scope="module")
def verdicts_with_violations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    tree = tmp_path_factory.mktemp("planted")
    copy_of_tree(tree)
    for files in PLANTED.values():
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content)
    return verdicts(tree)


@pytest.mark.asvs("15.2.3")
@pytest.mark.parametrize("contract", CONTRACTS)
def test_planted_violation_breaks_the_contract(
    contract: str, verdicts_with_violations: dict[str, str]
) -> None:
    assert contract in PLANTED, f"plant a violation of the new contract {contract!r} in this file"
    assert verdicts_with_violations[contract] == "BROKEN"
