"""Where a stand-in keeps its books: JSON documents by kind and id in one SQLite file per vendor.

Everything is on disk when a call returns, so that a killed sandbox loses nothing that a vendor had promised.
"""

from __future__ import annotations

import builtins
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]


class Store:
    """Documents of one vendor. Not for use by several threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        self._db.execute("pragma journal_mode=wal")
        # The process may be killed at any time, the machine's power is not what is played here.
        self._db.execute("pragma synchronous=off")
        self._db.execute(
            "create table if not exists document (kind text not null, id text not null, body text not null,"
            " position integer primary key autoincrement, unique (kind, id))"
        )
        self._depth = 0

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen, or none does. May be nested: the outermost decides."""
        self._depth += 1
        if self._depth == 1:
            self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            if self._depth == 1:
                self._db.execute("rollback")
            raise
        else:
            if self._depth == 1:
                self._db.execute("commit")
        finally:
            self._depth -= 1

    def put(self, kind: str, key: str, body: Document) -> None:
        """Insert or replace a document; a replaced one keeps its place in the order of creation."""
        self._db.execute(
            "insert into document (kind, id, body) values (?, ?, ?)"
            " on conflict (kind, id) do update set body = excluded.body",
            (kind, key, json.dumps(body)),
        )

    def get(self, kind: str, key: str) -> Document | None:
        """A copy of the document, or None."""
        row = self._db.execute("select body from document where kind = ? and id = ?", (kind, key)).fetchone()
        return None if row is None else json.loads(row[0])

    def delete(self, kind: str, key: str) -> bool:
        """True when there was such a document."""
        return self._db.execute("delete from document where kind = ? and id = ?", (kind, key)).rowcount > 0

    def items(self, kind: str) -> builtins.list[tuple[str, Document]]:
        """Ids and copies of all documents of a kind, oldest first."""
        rows = self._db.execute("select id, body from document where kind = ? order by position", (kind,))
        return [(row[0], json.loads(row[1])) for row in rows]

    def list(self, kind: str) -> builtins.list[Document]:
        """Copies of all documents of a kind, oldest first."""
        rows = self._db.execute("select body from document where kind = ? order by position", (kind,))
        return [json.loads(row[0]) for row in rows]
