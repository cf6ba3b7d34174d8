"""Whatever an operator writes into a template: parsing gives a template or one fault, rendering a text or one
reason, both quickly and in little memory."""

import os
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.errors import ConfigFault
from daemon.notify.templates import Templates
from daemon.notify.templates.effort import SECONDS, OutOfBounds
from daemon.notify.templates.sandbox import Program, Sandbox, Wrong

SANDBOX = Sandbox()
VALUES = {
    "title": "Tour &lt;1&gt;",
    "rows": [{"name": f"n{number}", "text": "x" * 50, "link": None} for number in range(200)],
    "f": {"batch": "b", "deep": [[[["x"]]]], "n": 7, "none": None},
    "notes": ["a", "b"],
}


def read(source: str) -> Program | None:
    """Return the template, or None if it is refused. Anything else fails the test."""
    try:
        return SANDBOX.program(source)
    except Wrong as wrong:
        fault = wrong
    assert fault.line >= 1
    assert fault.what
    return None


def ends(source: str) -> str:
    """Return the result; fail if it takes long."""
    began = time.thread_time()
    program = read(source)
    assert time.thread_time() - began < 3, "reading"
    if program is None:
        return "no template"
    began = time.thread_time()
    try:
        program.run(VALUES)
    except OutOfBounds as error:
        return str(error)
    finally:
        assert time.thread_time() - began < SECONDS + 1, "rendering"
    return ""


def grown(start: str, step: str, times: int, end: str) -> str:
    return f"{{% set x = {start} %}}" + f"{{% set x = {step} %}}" * times + end


HOSTILE = {
    "round": "{{ 1|round(-1000000000) }}",
    "round up": "{{ 1|round(1000000000, 'ceil') }}",
    "round by name": "{{ 7|round(precision=-999999999, method='floor') }}",
    "round a text": "{{ 1|round('9') }}",
    "lists doubled": grown(
        "[1]", "[x, x]", 34, "{% set y = [1] %}" + "{% set y = [y, y] %}" * 34 + "{{ x == y }}"
    ),
    "lists in themselves": grown("[1]", "[x, x]", 60, "{{ x|length }}"),
    "tuples as keys": grown("(1,)", "(x, x)", 34, "{{ {x: 1}|length }}"),
    "tuples as places": grown("(1,)", "(x, x)", 34, "{{ f[x] }}"),
    "mappings doubled": grown("{'a': 1}", "{'a': x, 'b': x}", 40, "{{ x == x }}"),
    "lists added": grown("[[1]]", "x + x", 60, "{{ x == x }}"),
    "in": grown("[1]", "[x, x]", 40, "{{ x in [x] }}"),
    "is": grown("[1]", "[x, x]", 14, "{% for i in range(1000) %}{{ x is eq(x) }}{% endfor %}"),
    "equal lists many times": grown(
        "[1]", "x + x", 14, "{% set y = x + [] %}{% for i in range(1000) %}{% if x == y %}{% endif %}{% endfor %}"
    ),
    "sort": grown("[3, 1, 2]", "x + x", 13, "{% for i in range(1000) %}{% set y = x|sort %}{% endfor %}"),
    "sort of lists": grown("[1]", "[x, x]", 30, "{{ [x, x]|sort|length }}"),
    "max": grown("[3, 1]", "x + x", 14, "{% for i in range(1000) %}{{ x|max }}{% endfor %}"),
    "sum of lists": grown("[[1]]", "x + x", 14, "{{ x|sum(start=[])|length }}"),
    "sum of tuples": grown("[(1,)]", "x + x", 14, "{{ x|sum(none, ())|length }}"),
    "copies": grown("[1]", "x + x", 14, "{% set a = x[:] %}" * 3000),
    "copies under names": grown("[1]", "x + x", 14, "".join(f"{{% set a{n} = x[:] %}}" for n in range(2500))),
    "long texts under names": grown(
        "'x'", "x ~ x", 15, "".join(f"{{% set a{n} = x ~ '{n}' %}}" for n in range(2000))
    ),
    "upper": grown("'ß'", "x ~ x", 15, "{% for i in range(1000) %}{% set y = x|upper %}{% endfor %}"),
    "trim": grown("' '", "x ~ x", 16, "{% for i in range(1000) %}{% set y = x|trim %}{% endfor %}"),
    "lower": grown("'A'", "x ~ x", 15, "{% for i in range(1000) %}{% set y = x|lower %}{% endfor %}"),
    "join": grown("['x']", "x + x", 14, "{% for i in range(1000) %}{% set y = x|join %}{% endfor %}"),
    "join of joins": grown("['x', 'y']", "[x|join(x|join), x|join]", 30, "{{ x|length }}"),
    "in a text": grown("'a'", "x ~ x", 15, "{% for i in range(1000) %}{{ (x ~ 'b') in (x ~ x) }}{% endfor %}"),
    "chained filters": "{{ rows" + "|selectattr('name')" * 300 + "|first }}",
    "chained filters, long list": grown("rows", "x + x", 4, "{{ x" + "|rejectattr('link')" * 200 + "|first }}"),
    "powers": "{{ 9 ** 9 ** 9 }}",
    "shifted": "{{ 9 * 9 ** 9999999 }}",
    "big hexadecimal": "{{ 0x" + "f" * 60000 + " }}",
    "big decimal": "{{ " + "9" * 60000 + " }}",
    "big float": "{{ 1e999 }}",
    "int of hexadecimal": grown("'f'", "x ~ x", 15, "{{ x|int(0, 16) }}"),
    "int divided": grown("'f'", "x ~ x", 15, "{% set n = x|int(0, 16) %}{{ n // 3 % 7 }}"),
    "format": "{{ '%1000000000d' % 1 }}",
    "format filter": "{{ '%1000000000d'|format(1) }}",
    "center": "{{ 'a'|center(1000000000) }}",
    "center method": "{{ 'a'.center(1000000000) }}",
    "indent": "{{ 'a'|indent(1000000000) }}",
    "text times": "{{ 'a' * 1000000000 }}",
    "list times": "{{ [1] * 1000000000 }}",
    "range": "{{ range(10 ** 30)|length }}",
    "range of much": "{{ range(100000000000000000000)|length }}",
    "deep loops": "{% for a in [1] %}" * 30 + "x" + "{% endfor %}" * 30,
    "deep conditions": "{% if 1 %}" * 300 + "x" + "{% endif %}" * 300,
    "deeper conditions": "{% if 1 %}" * 3000 + "x" + "{% endif %}" * 3000,
    "deep with": "{% with %}" * 200 + "x" + "{% endwith %}" * 200,
    "deep parentheses": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "deep lists": "{{ " + "[" * 500 + "]" * 500 + " }}",
    "deep lists by name": grown("[]", "[x]", 3000, "{{ x == x }}"),
    "many nots": "{{ " + "not " * 5000 + "1 }}",
    "many minuses": "{{ " + "-" * 5000 + "1 }}",
    "many pluses": "{{ 1" + " + 1" * 8000 + " }}",
    "many ands": "{{ 1" + " and 1" * 8000 + " }}",
    "many compared": "{{ 1" + " < 2" * 8000 + " }}",
    "many elifs": "{% if 0 %}" + "{% elif 0 %}" * 4000 + "{% endif %}",
    "many outputs": "{{ 1 }}" * 9000,
    "empty outputs": "{% for a in range(1000) %}{% for b in range(9) %}" + "{{ '' }}" * 5000 + "{% endfor %}" * 2,
    "empty turns": "{% for a in range(1000) %}{% for b in range(9) %}"
    + "{% set c=1%}" * 4000
    + "{% endfor %}" * 2,
    "turns left out": "{% for a in range(1000) if 0" + " or 0" * 4000 + " %}{% endfor %}" * 2,
    "unclosed": "{{" * 30000,
    "comments": "{#" * 30000,
    "raw": "{% raw %}" * 3000,
    "colons": "{{ f" + "[::]" * 3000 + " }}",
    "a class": "{{ title.__class__.__mro__ }}",
    "own filters": "{{ 1|_weighed }}{{ 1|_turned }}",
    "nothing": "",
    "a zero": "\0{{ 1 }}",
    "half a pair": "{{ '\ud800' }}",
    "odd names": "{{ ﬁ }}{% set ª = 1 %}{{ ª }}",
    "keywords": "{% set class = 1 %}{{ class }}{{ None }}{{ self }}{{ self() }}",
    "call a number": "{{ 1(2) }}{{ [](1) }}{{ ''() }}",
    "loop outside": "{{ loop.index }}",
    "loop cycle": "{% for a in [1] %}{{ loop.cycle(1) }}{{ loop(1) }}{% endfor %}",
}


LONG = {"empty turns", "deep lists by name", "copies under names", "long texts under names", "many compared"}
"""Variants that take seconds and resemble others: left to the long tests."""
CASES = [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in HOSTILE]


@pytest.mark.parametrize("name", CASES)
def test_whatever_stands_in_a_template_it_ends(name: str) -> None:
    ends(HOSTILE[name][:65536])


@pytest.mark.parametrize(
    "name",
    [case for case in CASES if any(word in str(case.values[0]) for word in ("names", "doubled", "copies"))],
)
def test_whatever_stands_in_a_template_it_takes_little_memory(name: str) -> None:
    program = read(HOSTILE[name])
    if program is None:
        return
    tracemalloc.start()
    try:
        program.run(VALUES)
    except OutOfBounds:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024


ATOMS = [
    "1",
    "0",
    "-7",
    "1e9",
    "999999999999",
    "''",
    "'ab'",
    "none",
    "true",
    "x",
    "y",
    "rows",
    "f",
    "f.deep",
    "title",
]
FILTERS = [*SANDBOX.filters, "no_such", "tojson", "format", "center", "batch(9999999)"]
ARGUMENTS = [
    "",
    "()",
    "(-1000000000)",
    "(9999999999)",
    "('name')",
    "(x)",
    "([])",
    "(attribute='name')",
    "(start=[])",
]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"]


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(OPERATORS), inner),
        st.builds("({}|{}{})".format, inner, st.sampled_from(FILTERS), st.sampled_from(ARGUMENTS)),
        st.builds("({} is {}({}))".format, inner, st.sampled_from(list(SANDBOX.tests)), inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("({}, {})".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:{}]".format, inner, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("range({})".format, inner),
    )


EXPRESSIONS = st.recursive(st.sampled_from(ATOMS), _larger, max_leaves=12)
STATEMENTS = st.one_of(
    st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
    st.builds(
        lambda name, made, times: f"{{% set {name} = {made} %}}" * times,
        st.sampled_from(["x", "y"]),
        EXPRESSIONS,
        st.sampled_from([1, 2, 20, 40, 300]),
    ),
)
BODIES = st.lists(STATEMENTS, max_size=5).map("".join)
TEMPLATES = st.recursive(
    BODIES,
    lambda inner: st.one_of(
        st.builds("{{% for y in {} %}}{}{{% endfor %}}".format, EXPRESSIONS, inner),
        st.builds("{{% for y in range(1000) if {} %}}{}{{% endfor %}}".format, EXPRESSIONS, inner),
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, EXPRESSIONS, inner, inner),
    ),
    max_leaves=4,
).map(lambda body: "{% set x = [1] %}{% set y = 'ab' %}" + body)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(source=TEMPLATES)
def test_what_is_a_template_ends(source: str) -> None:
    ends(source[:65536])


@pytest.mark.long
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(source=TEMPLATES)
def test_what_is_any_of_many_templates_ends(source: str) -> None:
    ends(source[:65536])


WORDS = (
    "for in if endif endfor set = ( ) [ ] { } | . , : ~ ' \" - + ** 0x 1e _ raw block macro include extends import"
)
MORE = "with call filter autoescape loop self recursive else elif {{ }} {% %} {# #} x"
ODD = ("\\", "\n", " ", "9" * 5000, "\0", "\ud800", "é", "\u2028", "{{ 1 }}", "{% if 1 %}", "{% for x in [1] %}")
TOKENS = st.sampled_from([*WORDS.split(), *MORE.split(), *ODD])


@settings(max_examples=300, deadline=None)
@given(source=st.lists(st.one_of(TOKENS, st.text(max_size=3)), max_size=60).map("".join))
def test_what_is_no_template_is_one_fault(source: str) -> None:
    ends(source)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_a_file_of_any_bytes_is_a_template_or_one_fault(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("t") / "own.j2"
    path.write_bytes(data)
    said = str(path)
    try:
        Templates.load({"*": path})
    except ConfigFault as fault:
        said = str(fault)
    assert said.startswith(str(path))


@pytest.mark.parametrize(
    "kind", ["pipe", "endless", "empty for ever", "folder", "zero in the name", "loop", "gone"]
)
def test_what_is_no_file_is_one_fault_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "own.j2"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path = Path("/dev/zero")
    elif kind == "empty for ever":
        path = Path("/dev/tty")
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "zero in the name":
        path = Path(f"{path}\0")
    said: list[str] = []

    def load() -> None:
        try:
            Templates.load({"*": path})
        except ConfigFault as fault:
            said.append(str(fault))

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(20)
    assert said


def test_rendering_is_measured_by_its_own_work_and_not_by_the_machines() -> None:
    """Many threads at once take longer, and none is cut off because of that."""
    program = read("{% for row in rows %}{{ row.name }} {{ row.text|upper }}\n{% endfor %}")
    assert program is not None
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(program.run(VALUES))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert len(made) == 20
