"""Documents are on disk when a call returns, and a transaction is all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.store import Store


def test_documents_survive_and_keep_their_order_when_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path / "books.sqlite3")
    store.put("zone", "b", {"n": 1})
    store.put("zone", "a", {"n": 2})
    store.put("zone", "b", {"n": 3})
    again = Store(tmp_path / "books.sqlite3")
    assert again.items("zone") == [("b", {"n": 3}), ("a", {"n": 2})]
    assert (tmp_path / "books.sqlite3").stat().st_mode & 0o777 == 0o600


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "books.sqlite3")

    def cut_off() -> None:
        with store.transaction():
            store.put("zone", "a", {})
            with store.transaction():
                store.put("zone", "b", {})
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cut_off()
    assert store.list("zone") == []
    assert store.delete("zone", "a") is False
