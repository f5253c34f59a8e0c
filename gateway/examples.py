"""Examples in the public document: what real calls were asked with, and what they got (`examples.json`).

The file is written by `python -m tests.examples.publish`, which makes the calls, and compared with fresh ones in every
test run. Ids, times and secrets in it are made up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("examples.json")
METHODS: Final = ("get", "post", "put", "patch", "delete")
PROBLEM: Final = "application/problem+json"
ANYWHERE: Final = frozenset({"429", "503"})
"""What every route can answer beside the statuses that its operation lists."""
Document = dict[str, Any]


class Examples:
    """`routes`: `GET /v1/…` → {"request"?: {media type: value}, "status", "answer": {media type: value}};
    `problems`: code → a problem document."""

    def __init__(self, routes: Mapping[str, Any], problems: Mapping[str, Any]) -> None:
        self.routes = routes
        self.problems = problems

    @classmethod
    def load(cls, file: Path = FILE) -> Examples:
        content = json.loads(file.read_text("utf-8"))
        return cls(content["routes"], content["problems"])

    def add_to(self, document: Document) -> None:
        """Puts each beside the schema that it is an example of. What the document does not have is left out."""
        components = document["components"].setdefault("examples", {})
        components |= {code: {"value": problem} for code, problem in self.problems.items()}
        by_status: dict[str, list[str]] = {}
        for code, problem in self.problems.items():
            by_status.setdefault(str(problem["status"]), []).append(code)
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method not in METHODS:
                    continue
                example = self.routes.get(f"{method.upper()} {path}")
                if example is not None:
                    _place(operation.get("requestBody", {}), example.get("request", {}))
                    _place(operation["responses"].get(example["status"], {}), example["answer"])
                _refer(operation["responses"], by_status)


def _place(described: Document, values: Mapping[str, Any]) -> None:
    for media_type, content in described.get("content", {}).items():
        if media_type in values:
            content["example"] = values[media_type]


def _refer(responses: Document, by_status: Mapping[str, list[str]]) -> None:
    """Problems are alike everywhere: each response names those of its status."""
    for status, response in responses.items():
        content = response.get("content", {}).get(PROBLEM)
        statuses = ANYWHERE - responses.keys() if status == "default" else {status}
        codes = [code for one in sorted(statuses) for code in by_status.get(one, [])]
        if content is not None and codes:
            content["examples"] = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
