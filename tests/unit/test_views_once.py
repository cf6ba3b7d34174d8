"""Each view's keys are written in one module: neither the commands nor the API shape what a view shapes."""

import ast
from collections.abc import Iterator

from docs.paper import ROOT

SHARE = 2 / 3
"""A value elsewhere with this share of a view's keys is that view, written again."""
LEAST = 4
"""Views of fewer keys are not looked for: two keys may well stand together by chance."""
ELSEWHERE = ("cli", "web", "commands")


def parsed(folder: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "daemon" / folder).rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def fields(node: ast.ClassDef) -> set[str]:
    return {
        each.target.id.rstrip("_")
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }


def views() -> Iterator[tuple[str, str, set[str]]]:
    """The file, name and keys of each view."""
    for where, tree in parsed("views"):
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.bases and not node.name.startswith("_"):
                yield where, node.name, fields(node)


def shapes(tree: ast.Module) -> Iterator[tuple[int, set[str]]]:
    """The line and keys of each dictionary and class of a module, but for the words of the pages: they have one
    for many a key."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = {each.value for each in node.keys if isinstance(each, ast.Constant)}
            yield node.lineno, {each for each in keys if isinstance(each, str)}
        elif isinstance(node, ast.ClassDef) and node.name != "Texts":
            yield node.lineno, fields(node)


def again(keys: set[str], view: set[str]) -> bool:
    return len(view) >= LEAST and len(keys & view) >= SHARE * len(view)


def test_no_two_views_have_the_same_keys() -> None:
    found = list(views())
    assert len(found) >= 20
    assert len({name for _, name, _ in found}) == len(found)
    for number, (_, one, keys) in enumerate(found):
        for _, other, others in found[number + 1 :]:
            assert not (keys == others and len(keys) >= LEAST), (one, other)


def test_the_keys_of_a_view_are_written_nowhere_else() -> None:
    wanted = list(views())
    restated = [
        f"{where}:{line} has the keys of {name} of {view}"
        for folder in ELSEWHERE
        for where, tree in parsed(folder)
        for line, keys in shapes(tree)
        for view, name, of in wanted
        if again(keys, of)
    ]
    assert restated == []


def test_a_view_that_is_written_again_is_found() -> None:
    [batch] = [keys for _, name, keys in views() if name == "Batch"]
    some = sorted(batch)
    [(_, keys)] = shapes(ast.parse(f"shown = {dict.fromkeys(some[:-2])}"))
    assert again(keys, batch)
    assert not again(set(some[:3]), batch)
