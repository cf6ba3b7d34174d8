"""Measures of the structure of daemon/. `make house` prints them, tests/unit/test_house.py enforces the bounds.

    python docs/house.py [--wire]

It only reads the source. An import counts wherever it is: at the top, in a function, or for types only.

With `--wire` it also runs one answer through the daemon (docs/wire.py) and counts the modules that it passes from
the wire to the chat. A module counts if it gets a carrier of the answer from another module of daemon/, as an
argument or a result, and hands one to another module, as an argument or its own result. Carriers are objects of
`wire.CARRIERS` (the HTTP answer, the parsed task, the observation, the move, the alert, the rows, the claim, the
message, the rendered text, the request), values that contain one, and bytes or mappings with the URL of the job's
video. So a helper that reads a carrier and returns a number or a text does not count. Neither does `wire.SUPPORT`:
clock, logs, metrics, tasks, and the store's runner of transactions, which hands back any result.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
SMALL = 70
"""Lines below which a module with one importer counts as a fragment of it."""
LONG_MODULE, LONG_FUNCTION = 500, 40

TWINS = frozenset(
    {
        # A section of the config, and the object that it configures.
        *("Callback", "Channel", "Discovery", "PasswordAuth", "Retention", "Route", "TokenAuth"),
        # The simulator's and the real one.
        *("Answer", "Job", "Kind", "ListQuery"),
    }
)
"""Class names that two modules define on purpose."""


@dataclass(frozen=True, slots=True)
class Module:
    """One file of daemon/."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


def modules() -> dict[str, Module]:
    """Every module by its name, `daemon.store.jobs`."""
    found = {}
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found[name] = Module(name, path, ast.parse(text), len(text.splitlines()))
    return found


def imports(every: Mapping[str, Module]) -> dict[str, set[str]]:
    """The modules of daemon/ that each module imports."""
    return {
        name: {each for each in _imported(module.tree, every) if each != name} for name, module in every.items()
    }


def _imported(tree: ast.Module, every: Mapping[str, Module]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in every)
        elif isinstance(node, ast.ImportFrom) and node.module in every:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if inside in every else str(node.module)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or not."""
    reached = {name: _reached(graph, name) for name in graph}
    rings = {tuple(sorted(each for each in reached[name] if name in reached[each])) for name in graph}
    return [list(ring) for ring in sorted(rings) if ring]


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        new = graph[todo.pop()] - found
        found |= new
        todo += new
    return found


def fragments(every: Mapping[str, Module], graph: Mapping[str, set[str]]) -> list[str]:
    """Small modules with a single importer."""
    importers: dict[str, int] = defaultdict(int)
    for wanted in graph.values():
        for name in wanted:
            importers[name] += 1
    return [
        f"{name} ({module.lines})"
        for name, module in every.items()
        if importers[name] == 1 and module.lines < SMALL and not module.is_package
    ]


def same_names(every: Mapping[str, Module]) -> dict[str, list[str]]:
    """Public class names that more than one module defines, with these modules."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, module in every.items():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].add(name)
    return {name: sorted(where) for name, where in sorted(found.items()) if len(where) > 1}


def long_functions(every: Mapping[str, Module]) -> list[str]:
    """Functions of more than `LONG_FUNCTION` lines."""
    return [
        f"{name}.{node.name} ({length})"
        for name, module in every.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONG_FUNCTION
    ]


def report() -> Iterator[str]:
    """The measures as lines of text, each followed by what it counts."""
    every = modules()
    graph, twice = imports(every), same_names(every)
    yield f"modules: {len(every)}, lines: {sum(module.lines for module in every.values())}"
    yield f"files of notify: {sum(name.startswith('daemon.notify') for name in every)}"
    yield from _listed("circles", [" <-> ".join(ring) for ring in circles(graph)])
    for what, wanted in (("class names twice", False), ("twins", True)):
        named = {name: where for name, where in twice.items() if (name in TWINS) is wanted}
        yield from _listed(what, [f"{name}: {', '.join(where)}" for name, where in named.items()])
    yield from _listed(f"modules with one importer and under {SMALL} lines", fragments(every, graph))
    long = [f"{name} ({module.lines})" for name, module in every.items() if module.lines > LONG_MODULE]
    yield from _listed(f"modules over {LONG_MODULE} lines", long)
    yield from _listed(f"functions over {LONG_FUNCTION} lines", long_functions(every))


def _listed(what: str, found: Sequence[str]) -> Iterator[str]:
    yield f"{what}: {len(found)}"
    yield from (f"    {each}" for each in found)


@click.command(help="Print how the modules of daemon/ depend on each other.")
@click.option(
    "--wire", is_flag=True, help="Also run one answer through the daemon, and list the modules it passes."
)
def main(*, wire: bool) -> None:
    click.echo("\n".join(report()))
    if wire:
        import wire as run  # noqa: PLC0415 - beside this script

        click.echo("\n".join(_listed("modules from the wire to the chat", run.passed())))


if __name__ == "__main__":
    main()
