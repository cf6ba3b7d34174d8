"""What is imported on first use is what mypy sees; what is hidden from one import is hidden from no other."""

import ast
import sys
from pathlib import Path

import pytest

import daemon.store
from daemon.late import without


def test_the_store_offers_the_names_that_its_callers_are_checked_against() -> None:
    tree = ast.parse(Path(daemon.store.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    checked = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(checked) > 10
    for node in checked:
        for name in node.names:
            found = getattr(daemon.store, name.name)
            assert found is getattr(sys.modules[node.module or ""], name.name)
    with pytest.raises(AttributeError, match="Stor"):
        daemon.store.Stor  # type: ignore[attr-defined]  # noqa: B018 - the look-up is the test


def test_a_hidden_library_is_missing_for_one_import_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with without("json", "this"), pytest.raises(ImportError):
        import json
    with without("json", "this"), pytest.raises(ImportError):
        import this  # noqa: F401
    assert "this" not in sys.modules
    import json

    assert sys.modules["json"] is json
