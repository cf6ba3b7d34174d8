"""From a view to what JSON takes. Pure."""

from collections.abc import Collection
from dataclasses import fields, is_dataclass


def document(view: object, *, without: Collection[str] = ()) -> dict[str, object]:
    """The keys and values of a view, in its order; views inside it likewise. A key that is no name in Python has
    its field's name without the line at its end."""
    assert is_dataclass(view)
    return {
        field.name.rstrip("_"): _plain(getattr(view, field.name))
        for field in fields(view)
        if field.name not in without
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return document(value) if is_dataclass(value) else value
