"""Probes at every `await` and every call of the store in the daemon's code, inserted while it is imported.

`install` must come before any import of `daemon`. From then on each such place has a name (module, line, kind),
records each pass, and can be made to raise. Nothing is listed by hand: new code is probed as well.
"""

import ast
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

_STORE_CALLS = frozenset({"write", "write_here", "write_now", "read", "read_async"})
_NAME = "__probe__"
_LEFT_OUT = (
    "daemon.build",
    "daemon.cli",
    "daemon.clock",
    "daemon.config",
    "daemon.domain",
    "daemon.errors",
    "daemon.logs",
    "daemon.metrics",
    "daemon.schedule",  # tests replace it
    "daemon.sim",
    "daemon.store",
    "daemon.systemd",
    "daemon.tasks",  # the guard itself
)
"""Modules that no poll, send or callback passes, or on which the tests depend."""

_BURST = 3
"""Errors in a row at a place that concerns no single job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error to raise: at `site`, `after` the call there or before it, made by `error`. `first` is the pass at
    which it starts. `same_job`: after the first hit only when the place concerns the same job; where it concerns
    no single job, a few times in a row."""

    site: str
    error: Callable[[], BaseException]
    after: bool = False
    first: int = 1
    times: int = 1
    same_job: bool = False


@dataclass
class Probe:
    """The state shared by all probes."""

    armed: bool = False
    fault: Fault | None = None
    passes: Counter[tuple[str, bool]] = field(default_factory=Counter)
    hits: list[tuple[str, ...]] = field(default_factory=list)
    """The jobs that each raised error concerned."""
    kinds: dict[str, str] = field(default_factory=dict)
    """The kind of each site: "await", "bare", "store" or "tx"."""
    victim: str | None = None
    on_hit: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self, fault: Fault | None) -> None:
        self.armed, self.fault, self.victim = False, fault, None
        self.passes.clear()
        self.hits.clear()

    def hit(self, site: str) -> None:
        """Record that the place is about to be passed."""
        self._pass(site, after=False)

    async def after(self, site: str, awaitable: Any) -> Any:
        """The same for an awaited call, and once more when it is done."""
        result = await awaitable
        self._pass(site, after=True)
        return result

    def done(self, site: str, result: Any) -> Any:
        """Record that a call is done."""
        self._pass(site, after=True)
        return result

    def _pass(self, site: str, *, after: bool) -> None:
        if not self.armed:
            return
        with self._lock:
            self.passes[site, after] += 1
            if not self._is_due(site, after=after):
                return
        assert self.fault is not None
        self.on_hit()
        raise self.fault.error()

    def _is_due(self, site: str, *, after: bool) -> bool:
        fault = self.fault
        if fault is None or (site, after) != (fault.site, fault.after) or len(self.hits) >= fault.times:
            return False
        if self.passes[site, after] < fault.first:
            return False
        if fault.same_job and self.victim is None and len(self.hits) >= _BURST:
            return False
        jobs = jobs_of(sys._getframe(3))
        if fault.same_job and self.victim is None and len(jobs) == 1:
            [self.victim] = jobs
        if self.victim is not None and self.victim not in jobs:
            return False
        self.hits.append(tuple(sorted(jobs)))
        return True


PROBE = Probe()


def jobs_of(frame: FrameType) -> set[str]:
    """Return the ids of the jobs in a frame's variables."""
    return {job for value in list(frame.f_locals.values()) for job in _ids(value, 3)}


def _ids(value: object, depth: int) -> set[str]:
    if depth == 0 or isinstance(value, str | bytes | int | float | type | ModuleType):
        return set()
    if isinstance(value, list | tuple):
        return {job for each in value[:200] for job in _ids(each, depth - 1)}
    job = getattr(value, "job_id", None)
    if isinstance(job, str):
        return {job}
    inner = (getattr(value, name, None) for name in ("claimed", "load", "job"))
    return {job for each in inner if each is not None for job in _ids(each, depth - 1)}


def install(probe: Probe = PROBE) -> None:
    """Install probes in every module of `daemon` imported from now on."""
    assert not any(name.startswith("daemon.watch") for name in sys.modules), "it is imported already"
    import builtins

    setattr(builtins, _NAME, probe)
    sys.meta_path.insert(0, _Finder(probe))


class _Finder(MetaPathFinder):
    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("daemon.") or fullname.startswith(_LEFT_OUT):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path, self._probe)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, probe: Probe) -> None:
        super().__init__(fullname, path)
        self._probe = probe

    def get_code(self, fullname: str) -> CodeType:
        parts = Path(self.path).parts
        name = "/".join(parts[len(parts) - 1 - parts[::-1].index("daemon") :])
        tree = ast.parse(self.get_data(self.path), self.path)
        tree = ast.fix_missing_locations(_Probing(name, self._probe).visit(tree))
        return compile(tree, self.path, "exec", dont_inherit=True)


class _Probing(ast.NodeTransformer):
    def __init__(self, module: str, probe: Probe) -> None:
        self._module = module
        self._probe = probe
        self._count: Counter[tuple[int, str]] = Counter()

    def visit_Await(self, node: ast.Await) -> ast.AST:
        # a bare awaitable was made before, so its error comes from the awaitable and not from here
        bare = isinstance(node.value, ast.Name)
        kind = "store" if _is_store_call(node.value) else "bare" if bare else "await"
        site = self._site(node, kind)
        inner = self._inside(node.value)
        value = inner if bare else self._before(site, inner)
        node.value = _call("after", ast.Constant(site), value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _is_store_call(node):
            site = self._site(node, "store")
            inner = self._inside(node)
            assert isinstance(node.func, ast.Attribute)
            made = self._before(site, inner)
            return made if node.func.attr in ("write", "read_async") else _call("done", ast.Constant(site), made)
        if _is_tx_call(node):
            return self._before(self._site(node, "tx"), self._inside(node))
        return self.generic_visit(node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        self.generic_visit(node)
        for item in node.items:
            item.context_expr = self._before(self._site(item.context_expr, "await"), item.context_expr)
        return node

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        self.generic_visit(node)
        node.iter = self._before(self._site(node.iter, "await"), node.iter)
        return node

    def _inside(self, node: ast.expr) -> ast.expr:
        """Visit the inner nodes, but do not probe the node itself."""
        return self.generic_visit(node) if isinstance(node, ast.Call) else self.visit(node)  # type: ignore[return-value]

    def _before(self, site: str, node: ast.expr) -> ast.expr:
        pair = ast.Tuple([_call("hit", ast.Constant(site)), node], ast.Load())
        return ast.Subscript(pair, ast.Constant(1), ast.Load())

    def _site(self, node: ast.expr | ast.Await, kind: str) -> str:
        self._count[node.lineno, kind] += 1
        number = self._count[node.lineno, kind]
        site = f"{self._module}:{node.lineno} {kind}" + (f" {number}" if number > 1 else "")
        self._probe.kinds[site] = kind
        return site


def _call(method: str, *arguments: ast.expr) -> ast.Call:
    function = ast.Attribute(ast.Name(_NAME, ast.Load()), method, ast.Load())
    return ast.Call(function, list(arguments), [])


def _is_store_call(node: ast.expr) -> bool:
    """`….store.write(…)`, or `store.write(…)`, `self._store.write(…)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return node.func.attr in _STORE_CALLS and name.strip("_") == "store"


def _is_tx_call(node: ast.Call) -> bool:
    """`tx.jobs.track(…)`."""
    return (
        isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Attribute)
        and isinstance(node.func.value.value, ast.Name)
        and node.func.value.value.id == "tx"
    )
