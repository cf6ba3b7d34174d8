"""The typed structs compared with the document's tables 5 to 28, from tests/data/document_tables.json."""

import json
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import msgspec
import pytest

from daemon.metastudio import wire_script, wire_task

TABLES = json.loads((Path(__file__).parent.parent / "data" / "document_tables.json").read_text())
ROWS = [pytest.param(int(number), table, id=f"table{number}") for number, table in TABLES.items()]


def struct_of(number: int, title: str) -> type[msgspec.Struct]:
    name = "Task" if number == 5 else title
    found = getattr(wire_task, name, None) or getattr(wire_script, name)
    assert issubclass(found, msgspec.Struct)
    return found


def documented(annotation: Any) -> str:
    """Return the document's name of a field's type."""
    if get_origin(annotation) is list:
        return f"Array of {get_args(annotation)[0].__name__} objects"
    members = {member for member in get_args(annotation) if member is not NoneType}
    if members == {int, float}:
        return "Number"
    if str in members:
        return "String"
    (only,) = members
    return "Boolean" if only is bool else f"{only.__name__} object"


def test_all_tables_are_there() -> None:
    assert sorted(map(int, TABLES)) == list(range(5, 29))


@pytest.mark.parametrize(("number", "table"), ROWS)
def test_fields_and_types(number: int, table: dict[str, Any]) -> None:
    shape = struct_of(number, table["title"])
    ours = {field.name: documented(field.type) for field in msgspec.structs.fields(shape)}
    theirs = {name: "Number" if kind in ("Integer", "Float") else kind for name, kind in table["fields"].items()}
    assert ours == theirs


@pytest.mark.parametrize(("number", "table"), ROWS)
def test_docstrings_name_the_table_and_each_field(number: int, table: dict[str, Any]) -> None:
    text = struct_of(number, table["title"]).__doc__ or ""
    assert text.startswith(f"Table {number}:")
    described = {
        name.strip()
        for line in text.splitlines()
        if line.strip().startswith("- ")
        for name in line.strip()[2:].partition(":")[0].split(",")
    }
    assert described == set(table["fields"])


def test_wrong_types_become_nothing_everywhere() -> None:
    """Each field of each struct, given a value of every wrong type, leaves an answer that can be read."""
    for number, table in TABLES.items():
        shape = struct_of(int(number), table["title"])
        for junk in (None, 7, 1.5, "text", True, [], [[]], {}, [None, 3, {"x": 1}], {"x": {"y": []}}):
            read = wire_task.read_struct(dict.fromkeys(table["fields"], junk), shape)
            again = msgspec.convert(msgspec.to_builtins(read), shape)  # strict: every value has the right type
            assert again == read
