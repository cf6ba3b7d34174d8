"""A restricted Jinja2: a template reads values and writes text, nothing else, and always terminates.

The only module that imports Jinja2. Objects have no methods, no files are loaded, and nothing can be defined
that could call itself. Every loop iteration, operation, text and the result is charged to an `Effort`; nothing
is evaluated when a template is parsed. Templates are the operator's own files, so this guards mainly against
mistakes, and against hostile values.
"""

import functools
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes, pass_context
from jinja2.environment import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from msgspec import Struct

from daemon.notify.templates.effort import (
    EFFORT,
    MOST_NUMBER,
    RESULT_LIMIT,
    Effort,
    OutOfBounds,
    check_length,
    check_number,
    spend,
    weighed,
    weight,
)

RANGE = 1000
DEEPEST = 18
"""Maximum nesting of loops: Python's compiler allows 20 blocks."""

_FILTERS = (
    *("abs", "count", "d", "default", "first", "float", "int", "last", "length", "lower", "max", "min"),
    *("rejectattr", "round", "selectattr", "sort", "sum"),
)
"""Jinja2 filters that cannot undo an escape and whose result is not larger than their input."""
_TESTS = (
    *("boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "ge", "gt", "greaterthan", "in"),
    *("le", "lessthan", "lt", "mapping", "ne", "none", "number", "odd", "sequence", "string", "true", "undefined"),
    *("==", "!=", "<", "<=", ">", ">="),
)
_DENIED: Mapping[type[nodes.Node], str] = {
    nodes.Macro: "macros",
    nodes.CallBlock: "macros",
    nodes.Include: "including files",
    nodes.Import: "importing files",
    nodes.FromImport: "importing files",
    nodes.Extends: "extending files",
    nodes.Block: "blocks",
    nodes.NSRef: "namespaces",
    nodes.AssignBlock: "a set with a block",
    nodes.FilterBlock: "a filter with a block",
    nodes.ScopedEvalContextModifier: "autoescape",
}


class Wrong(Exception):
    """A source is not a valid template, or uses something that is not allowed: `line` and `what`."""

    def __init__(self, what: str, *, line: int) -> None:
        super().__init__(what)
        self.what = what
        self.line = line


class Program(Struct, frozen=True, kw_only=True):
    """A template ready to run. `names` are the values it reads, `facts` the keys of `f`, each with its line."""

    template: Template
    names: tuple[tuple[str, int], ...]
    facts: tuple[tuple[str, int], ...]

    def run(self, context: Mapping[str, object]) -> str:
        """Render with these values. Raises OutOfBounds. Thread-safe."""
        token = EFFORT.set(Effort())
        try:
            return _collected(self.template.generate(dict(context)))
        except OutOfBounds as error:
            raise OutOfBounds(f"{_at(error)}{error}") from None
        except TemplateError as error:
            raise OutOfBounds(f"{_at(error)}{error.message or type(error).__name__}") from None
        except RecursionError:
            raise OutOfBounds("it is nested too deeply") from None
        except Exception as error:  # noqa: BLE001 - operations of a template can raise anything
            raise OutOfBounds(f"{_at(error)}{type(error).__name__}: {error}") from None
        finally:
            EFFORT.reset(token)


def _collected(parts: Iterable[str]) -> str:
    size, kept = 0, []
    for part in parts:
        size += len(part)
        if size > RESULT_LIMIT:
            raise OutOfBounds(f"the result has more than {RESULT_LIMIT} characters")
        spend(len(part))
        kept.append(part)
    return "".join(kept)


def _at(error: BaseException) -> str:
    """The template line at which `error` was raised, if known."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line}: " if line else ""


_FILE = "<template>"


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            finalize=_finalized,
            loader=None,
            optimized=False,  # constant folding at compile time would not be bounded
        )
        self.globals = {"range": _range}
        self.filters = {
            **{name: _paid(self.filters[name]) for name in _FILTERS},
            "cut": cut,
            "trim": _trim,
            "upper": _upper,
            "join": _join,
            "int": _number_of(_paid(self.filters["int"])),
            "round": _rounded(_paid(self.filters["round"])),
            "sum": _summed(_paid(self.filters["sum"])),
            _COUNTED: _counted,
            _JOINED: _joined,
            _SLICED: _sliced,
            _TURNED: _turned,
            _WEIGHED: weighed,
        }
        self.tests = {name: _paid(self.tests[name]) for name in _TESTS}

    def program(self, source: str) -> Program:
        """Compile a source. Raises Wrong."""
        try:
            tree = self.parse(source)
            _refuse(tree)
            names, facts = tuple(_free(tree)), tuple(_facts(tree))
            code = self.compile(_Bounding().visit(tree), filename=_FILE)
        except TemplateSyntaxError as error:
            raise Wrong(error.message or "it is no template", line=error.lineno) from None
        except (RecursionError, MemoryError, SyntaxError):  # the last two: Python's own nesting limits
            raise Wrong("it is nested too deeply", line=1) from None
        except Exception as error:  # noqa: BLE001 - any error of the parser is the source's fault
            raise Wrong(
                f"it cannot be read as a template ({type(error).__name__}: {error})"[:200], line=1
            ) from None
        return Program(template=Template.from_code(self, code, self.make_globals(None)), names=names, facts=facts)

    def is_safe_callable(self, obj: Any) -> bool:
        """Only `range` may be called."""
        return obj is _range

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja2
        """Call `range`, the only callable."""
        if __obj is not _range:
            raise OutOfBounds("only range can be called; use filters instead")
        for own in ("_loop_vars", "_block_vars"):  # Jinja2 adds them to calls inside a loop or a block
            kwargs.pop(own, None)
        return _range(*args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a mapping, or an attribute of a loop; other objects have no attributes."""
        spend(0)
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if type(obj).__name__ == "LoopContext" and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.undefined(f"this value has no {attribute!r}")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item of a list or mapping. Text cannot be indexed, because part of an escape would no longer be
        one: see `cut`."""
        if isinstance(obj, str):
            return self.undefined(_NO_PARTS)
        weighed(argument)
        try:
            return obj[argument]
        except (LookupError, TypeError):
            return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers; for text and lists only `+`."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            check_length(len(left) + len(right))
        elif operator == "+" and not numbers:
            weighed([left, right])
        elif not numbers:
            raise OutOfBounds(f"{operator} is for numbers only")
        elif operator == "**":
            raise OutOfBounds("powers are not offered")
        spend(0)
        return check_number(_OPERATORS[operator](left, right))


_NO_PARTS = "text cannot be indexed; shorten it with the filter cut(30)"
_LOOP = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth"}
)
_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def _refuse(tree: nodes.Template) -> None:
    """Raise TemplateSyntaxError for anything that is not allowed in a template."""
    for kind, name in _DENIED.items():
        for node in tree.find_all(kind):
            raise TemplateSyntaxError(f"{name}: not offered in templates", node.lineno)
    _refuse_depth(tree, 0)
    for number in tree.find_all(nodes.Const):
        if isinstance(number.value, int | float) and abs(number.value) > MOST_NUMBER:
            raise TemplateSyntaxError("this number is too large", number.lineno)
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateSyntaxError("recursive loops: not offered in templates", loop.lineno)
    for used in tree.find_all(nodes.Filter):
        if used.name.startswith("_"):
            raise TemplateSyntaxError(f"No filter named {used.name!r}.", used.lineno)


def _refuse_depth(node: nodes.Node, depth: int) -> None:
    """Raise TemplateSyntaxError if loops are nested more deeply than Python's compiler allows."""
    if isinstance(node, nodes.For):
        depth += 1
        if depth > DEEPEST:
            raise TemplateSyntaxError(f"loops are nested more than {DEEPEST} deep", node.lineno)
    for each in node.iter_child_nodes():
        _refuse_depth(each, depth)


def _free(tree: nodes.Template) -> Iterator[tuple[str, int]]:
    """The names that a template reads without setting them, each with its line."""
    own = {"range", "loop"}
    own.update(name.name for name in tree.find_all(nodes.Name) if name.ctx in {"store", "param"})
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name not in own:
            yield name.name, name.lineno


def _facts(tree: nodes.Template) -> Iterator[tuple[str, int]]:
    """The keys of `f` that a template reads, each with its line; none if it sets an `f` itself."""
    if any(name.name == "f" and name.ctx != "load" for name in tree.find_all(nodes.Name)):
        return
    for node in tree.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name) and node.node.name == "f":
            yield node.attr, node.lineno


_COUNTED, _JOINED, _SLICED, _TURNED, _WEIGHED = "_counted", "_joined", "_sliced", "_turned", "_weighed"
"""Filters that `_Bounding` inserts; templates cannot name them."""


class _Bounding(NodeTransformer):
    """Inserts charges into every loop and its iterations, and into operations that Jinja2 passes to Python
    without consulting the environment: `~`, slices, comparisons, and list displays, which may be nested."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja2's name for it
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _COUNTED, [])
        turn = _filtered(nodes.Const(None, lineno=node.lineno), _TURNED, [])
        node.body.insert(0, nodes.ExprStmt(turn, lineno=node.lineno))
        if node.test is not None:
            node.test = _filtered(node.test, _TURNED, [])
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - Jinja2's name for it
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _JOINED, [])

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802 - Jinja2's name for it
        self.generic_visit(node)
        node.expr = _filtered(node.expr, _WEIGHED, [])
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, _WEIGHED, [])
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802 - Jinja2's name for it
        self.generic_visit(node)
        return _filtered(node, _WEIGHED, [])

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802 - Jinja2's name for it
        self.generic_visit(node)
        return _filtered(node, _WEIGHED, [])

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802 - Jinja2's name for it
        self.generic_visit(node)
        return node if node.ctx != "load" else _filtered(node, _WEIGHED, [])

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - Jinja2's name for it
        self.generic_visit(node)
        part = node.arg
        if not isinstance(part, nodes.Slice):
            return node
        nothing = nodes.Const(None, lineno=node.lineno)
        return _filtered(node.node, _SLICED, [part.start or nothing, part.stop or nothing, part.step or nothing])


def _filtered(node: nodes.Node, name: str, arguments: list[nodes.Expr]) -> nodes.Filter:
    return nodes.Filter(node, name, arguments, [], None, None, lineno=node.lineno)


def _paid(function: Any) -> Callable[..., Any]:
    """Wrap a Jinja2 filter or test so that it is charged by the weight of its arguments."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def paid(*given: Any, **named: Any) -> Any:
        size = sum(weight(each) for each in (*given[first:], *named.values()))
        text = given[first] if len(given) > first else None
        spend(len(text) if isinstance(text, str) else size * _SORTING)
        return function(*given, **named)

    return paid


_SORTING = 8
"""How often a filter may look at each item."""


def _number_of(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def bounded(*given: Any, **named: Any) -> Any:
        return check_number(function(*given, **named))

    return bounded


def _rounded(function: Callable[..., Any]) -> Callable[..., Any]:
    def rounded(value: Any, precision: int = 0, method: str = "common") -> Any:
        if not isinstance(precision, int) or abs(precision) > _DIGITS:
            raise OutOfBounds(f"round takes a precision of -{_DIGITS} to {_DIGITS}")
        return function(value, precision, method)

    return rounded


_DIGITS = 30


def _summed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def summed(*given: Any, **named: Any) -> Any:
        starts = [*given[3:], *(value for name, value in named.items() if name == "start")]
        if not all(isinstance(start, int | float) for start in starts):
            raise OutOfBounds("sum is for numbers only")
        return check_number(function(*given, **named))

    return summed


def _counted(items: Iterable[Any]) -> list[Any]:
    """The items of a loop, each charged before the loop begins."""
    if isinstance(items, str):
        raise OutOfBounds("a loop needs a list, not a text")
    effort, kept = EFFORT.get(), []
    for item in items:
        effort.take_turn()
        kept.append(item)
    effort.spend(len(kept))
    return kept


def _turned(value: Any) -> Any:
    """Charge the time of one iteration."""
    spend(0)
    return value


def _sliced(items: Any, start: int | None, stop: int | None, step: int | None) -> Any:
    if not isinstance(items, list | tuple):
        raise OutOfBounds(_NO_PARTS)
    spend(len(items))
    return items[start:stop:step]


def _joined(parts: Sequence[Any]) -> str:
    texts = [_text(part) for part in parts]
    check_length(sum(map(len, texts)))
    return "".join(texts)


def _join(parts: Iterable[Any], between: str = "", attribute: str | None = None) -> str:
    """The filter `join`, for lists of texts, or of objects by `attribute`."""
    if isinstance(parts, str):
        raise OutOfBounds("join needs a list, not a text")
    picked = [
        part.get(attribute) if attribute is not None and isinstance(part, Mapping) else part for part in parts
    ]
    texts = [_text(part) for part in picked]
    check_length(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def cut(text: str, length: int = 60) -> str:
    r"""The filter `cut`: at most `length` characters, never splitting an escape.

    >>> cut("a &lt;b&gt; c", 4), cut(r"a\*b", 3), cut("short", 9)
    ('a …', 'a…', 'short')
    """
    text = _text(text)
    if len(text) <= length:
        return text
    kept = text[: max(0, length - 1)]
    entity = kept.rfind("&")
    if entity >= 0 and ";" not in kept[entity:] and ";" in text[entity : entity + 10]:
        kept = kept[:entity]
    slashes = len(kept) - len(kept.rstrip("\\"))
    return (kept[:-1] if slashes % 2 else kept) + "…"


def _trim(text: str) -> str:
    spend(len(text := _text(text)))
    return text.strip()


def _upper(text: str) -> str:
    """The filter `upper`. Escapes such as `&lt;` are left alone."""
    text = _text(text)
    made = "".join(part if _ENTITY.fullmatch(part) else part.upper() for part in _ENTITY.split(text))
    check_length(len(made))
    return made


_ENTITY = re.compile(r"(&#?\w{1,8};)")


def _text(value: Any) -> str:
    return str(_shown(value))


@pass_context  # keeps Jinja2 from folding constants at compile time
def _finalized(_context: object, value: Any) -> Any:
    return _shown(value)


def _shown(value: Any) -> Any:
    """What `{{ value }}` writes: nothing for none. Lists and mappings are refused, because they would show
    Python syntax."""
    if value is None:
        return ""
    if isinstance(value, list | dict | tuple):
        raise OutOfBounds("it writes an entire list; use a loop, or the filter join")
    return value


def _range(*arguments: int) -> range:
    found = range(*arguments)
    if len(found) > RANGE:
        raise OutOfBounds(f"range has at most {RANGE} numbers")
    return found
