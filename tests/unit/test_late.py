"""What is imported on first use is what mypy sees; what is hidden from one import is hidden from no other."""

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest

import daemon.commands
import daemon.store
import daemon.views
from daemon.late import without


@pytest.mark.parametrize("package", [daemon.commands, daemon.store, daemon.views])
def test_a_package_offers_the_names_that_its_callers_are_checked_against(package: ModuleType) -> None:
    assert package.__file__ is not None
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    checked = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(checked) > 5
    for node in checked:
        module = node.module or ""
        for name in node.names:
            assert name.name != module.rpartition(".")[2], "the module would take the name's place"
            found = getattr(package, name.name)
            assert found is getattr(sys.modules[module], name.name)
    with pytest.raises(AttributeError, match="Stor"):
        package.Stor  # noqa: B018 - the look-up is the test


def test_a_hidden_library_is_missing_for_one_import_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with without("json", "this"), pytest.raises(ImportError):
        import json
    with without("json", "this"), pytest.raises(ImportError):
        import this  # noqa: F401
    assert "this" not in sys.modules
    import json

    assert sys.modules["json"] is json
