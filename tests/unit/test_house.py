"""The bounds on the structure of daemon/: no import cycles, and one meaning for each class name."""

import ast
from pathlib import Path

import pytest

from docs import house, wire


@pytest.fixture(scope="module")
def every() -> dict[str, house.Module]:
    return house.modules()


def test_no_modules_import_each_other(every: dict[str, house.Module]) -> None:
    assert house.circles(house.imports(every)) == []


def test_a_class_name_stands_twice_only_where_the_two_are_twins(every: dict[str, house.Module]) -> None:
    twice = house.same_names(every)
    assert set(twice) == house.TWINS
    for where in twice.values():
        assert len(where) == 2
        assert sum(name.startswith(("daemon.config.", "daemon.sim.")) for name in where) == 1


def test_few_modules_are_fragments_of_another(every: dict[str, house.Module]) -> None:
    assert len(house.fragments(every, house.imports(every))) <= 7


def test_few_functions_are_long(every: dict[str, house.Module]) -> None:
    """Those left are vocabularies, the options of a command line or a request, and objects with many parts."""
    assert len(house.long_functions(every)) <= 16


def test_notify_stays_within_its_files(every: dict[str, house.Module]) -> None:
    assert 0 < sum(name.startswith("daemon.notify") for name in every) <= 50


@pytest.mark.long
def test_an_answer_passes_few_modules_from_the_wire_to_the_chat() -> None:
    passed = wire.passed()
    assert {"daemon.transport", "daemon.store.alerts", "daemon.notify.services.feishu"} <= set(passed)
    assert len(passed) <= 25


def test_what_is_counted() -> None:
    """Sources in which each measure has something to find."""
    sources = {
        "a": "from pkg import b, Thing\nclass Thing: ...",
        "pkg": "from pkg.b import Thing",
        "pkg.b": "def f():\n    import a\nclass Thing: ...\nclass _Own: ...",
        "alone": "import pkg\nclass _Own: ..." + "\n" * house.SMALL,
    }
    every = {
        name: house.Module(name, Path(f"{name}.py"), ast.parse(text), len(text.splitlines()))
        for name, text in sources.items()
    }
    graph = house.imports(every)
    assert graph == {"a": {"pkg", "pkg.b"}, "pkg": {"pkg.b"}, "pkg.b": {"a"}, "alone": {"pkg"}}
    assert house.circles(graph) == [["a", "pkg", "pkg.b"]]
    assert house.fragments(every, graph) == ["a (2)"]
    assert house.same_names(every) == {"Thing": ["a", "pkg.b"]}
