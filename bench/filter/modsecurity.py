"""ModSecurity with the Core Rule Set in this process, asked about one JSON body. A yardstick, not a dependency."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


class CoreRuleSet:
    """At one paranoia level; blocks at an anomaly score of 5, as it ships."""

    def __init__(self, engine: Path, tree: Path, paranoia: int) -> None:
        if str(engine) not in sys.path:
            sys.path.insert(0, str(engine))
        self._library: Any = importlib.import_module("libmodsecurity")
        self._engine = self._library.ModSecurity()
        self._engine.set_log_callback(lambda _: None)
        self._rules = self._library.RulesSet()
        self._rules.load(
            "SecRuleEngine On\nSecRequestBodyAccess On\n"
            'SecRule REQUEST_HEADERS:Content-Type "^application/json" '
            '"id:1,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"\n'
            'SecDefaultAction "phase:1,log,auditlog,pass"\nSecDefaultAction "phase:2,log,auditlog,pass"\n'
            'SecAction "id:900000,phase:1,nolog,pass,t:none,'
            f'setvar:tx.paranoia_level={paranoia},setvar:tx.executing_paranoia_level={paranoia}"\n'
            'SecAction "id:900990,phase:1,nolog,pass,t:none,setvar:tx.crs_setup_version=334"\n'
        )
        for file in sorted((tree / "usr/share/modsecurity-crs/rules").glob("REQUEST-9*.conf")):
            self._rules.load_from_uri(str(file))

    def blocks(self, member: str, text: str) -> bool:
        return self.judge_post(json.dumps({member: text}).encode())

    def judge_post(self, body: bytes) -> bool:
        return self._judge("POST", body)

    def judge_get(self) -> bool:
        return self._judge("GET", b"")

    def _judge(self, method: str, body: bytes) -> bool:
        transaction = self._library.Transaction(self._engine, self._rules)
        transaction.process_connection("192.0.2.1", 40000, "192.0.2.2", 443)
        transaction.process_uri("/v1/workspaces", method, "1.1")
        for name, value in (
            ("Host", "sendchief.test"),
            ("User-Agent", "Mozilla/5.0"),
            ("Accept", "application/json"),
        ):
            transaction.add_request_header(name, value)
        if body:
            transaction.add_request_header("Content-Type", "application/json")
            transaction.add_request_header("Content-Length", str(len(body)))
        transaction.process_request_headers()
        if body:
            transaction.append_request_body(body)
        transaction.process_request_body()
        answer = transaction.intervention()
        return bool(answer is not None and answer.disruptive)
