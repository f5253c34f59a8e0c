import subprocess
import sys

import pytest

from shared.crashpoint import crashpoint
from tests.fixtures.run import ROOT

SCRIPT = "from shared.crashpoint import crashpoint\nfor n in range(1, 4):\n  crashpoint('here'); print(n, flush=True)"


def test_it_does_nothing_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SC_CRASHPOINT", raising=False)
    crashpoint("here")
    monkeypatch.setenv("SC_CRASHPOINT", "elsewhere")
    crashpoint("here")


@pytest.mark.parametrize(
    ("value", "printed"), [("here", ""), ("here:1", ""), ("here:3", "1\n2\n"), ("there", "1\n2\n3\n")]
)
def test_it_ends_the_process_at_the_visit_named(value: str, printed: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={"SC_CRASHPOINT": value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == printed
    assert result.returncode == (0 if value == "there" else -9)
