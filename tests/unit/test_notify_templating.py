"""Templates: what they may do, what they may not, and that no value can break out of one."""

import html
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from daemon.domain.events import Event
from daemon.errors import ConfigFault
from daemon.notify.message import Link, Message
from daemon.notify.message.compose import MessageContext, compose_digest
from daemon.notify.message.facts import FACTS
from daemon.notify.services import SERVICES, service_for
from daemon.notify.services.base import Markup, Service
from daemon.notify.services.cards import CONSTANT_TITLE, Rendered
from daemon.notify.templates import NAMES, TemplateFault, Templates, values
from daemon.notify.templates.examples import EXAMPLES, HOSTILE_NAME, example
from daemon.notify.templates.sandbox import cut
from tests.support.alerts import HOSTILE

NOW = datetime(2026, 11, 22, 4, 40, tzinfo=UTC)
JSON = service_for("json", limit=32768)
Made = Callable[[str], Templates]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return templates with one for every event."""

    def make(source: str, *, event: str = "*") -> Templates:
        path = tmp_path / "own.j2"
        path.write_text(source, encoding="utf-8")
        return Templates.load({event: path})

    return make


def message(name: str = "succeeded") -> Message:
    return compose_digest(example(name, now=NOW), MessageContext(now=NOW))


def rendered(templates: Templates, of: Message | None = None, form: Service = JSON) -> Rendered:
    result = templates.attempt(of or message(), form)
    assert isinstance(result, Rendered), result
    return result


def reason(templates: Templates, of: Message | None = None, form: Service = JSON) -> str:
    result = templates.attempt(of or message(), form)
    assert isinstance(result, TemplateFault), result
    assert templates.render(of or message(), form) is None
    return result.reason


def test_the_first_line_is_the_title_and_the_rest_the_body(made: Made) -> None:
    source = (
        "{{ emoji }} {{ name }} is done\n"
        "{{ headline }}\n\n\n"
        "{% for field in fields if field.name == 'Batch' %}\n"
        "{{ loop.index }}. {{ field.name }} = {{ field.value }}\n"
        "{% endfor %}\n"
        "{{ f.kind }}/{{ f['job_id'] | cut(9) }} {{ f.error_msg }}{{ links[0].url }} {{ f.tags | join('+') }}\n"
    )
    result = rendered(made(source))
    assert result.title == "✅ Interview, take 1 is done"
    assert result.body.startswith(
        "1 min 5 s of video, made in 3 min 12 s.\n\n1. Batch = spring-launch\navatar/26f06524… https://metastudio."
    )
    assert result.body.endswith(" spring+de")


@pytest.mark.parametrize("form", SERVICES, ids=lambda form: form.schemes[0])
def test_a_line_alone_is_text_enough_to_be_sent(made: Made, form: Service) -> None:
    """Apprise refuses an empty body before it contacts the service."""
    form = replace(form, limit=min(form.limit, 4000))
    found = rendered(made("{{ name }} is done"), form=form)
    assert found.body.count("is done") == 1
    told_above = form.machine or form.raw_title
    assert found.title == ("Interview, take 1 is done" if told_above else CONSTANT_TITLE * form.fixed_title)


def test_a_loop_may_count_inside_another(made: Made) -> None:
    source = "{% for a in range(2) %}{% for b in range(a, 3) %}{{ a }}{{ b }} {% endfor %}{% endfor %}"
    assert rendered(made(source)).title == "00 01 02 11 12"


def test_each_event_has_its_own_and_the_star_the_rest(tmp_path: Path) -> None:
    files = {}
    for event, name in (("succeeded", "one.j2"), ("digest", "many.j2"), ("*", "any.j2")):
        files[event] = tmp_path / name
        files[event].write_text(f"{name} {{{{ event }}}}")
    templates = Templates.load(files)
    assert rendered(templates).title == "one.j2 succeeded"
    assert rendered(templates, message("digest")).title == "many.j2 digest"
    assert rendered(templates, message("project_down")).title == "any.j2 project_down"
    assert templates.path("failed") == tmp_path / "any.j2"
    test = replace(message(), event="test")
    assert templates.render(test, JSON) is None
    only = Templates.load({"failed": files["*"]})
    assert only.attempt(message(), JSON) is None
    assert not Templates.load({})


def test_a_digest_can_be_a_table(made: Made) -> None:
    source = (
        "{{ f.counts.failed }} failed\n{% for row in rows[:2] %}\n{{ row.emoji }} {{ row.name }}: {{ row.text }}\n"
        "{% endfor %}"
    )
    result = rendered(made(source), message("digest"))
    assert result.title == "2 failed"
    assert result.body.splitlines() == [
        "❌ Interview, take 5: failed 04:39: The script is longer than the voice allows.",
        "❌ Interview, take 9: failed 04:39: The script is longer than the voice allows.",
    ]


@pytest.mark.parametrize("form", SERVICES, ids=[form.schemes[0] for form in SERVICES])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_passes_through_a_template_of_all_names(made: Made, name: str, form: Service) -> None:
    """Every name can be read, in every form."""
    source = (
        "{{ emoji }} {{ title | cut(40) }}\n{{ headline | cut(60) }} {{ event }} {{ severity }} "
        "{{ name | cut(20) }} "
        "{{ language }}\n{{ notes | join(' ') }}{{ fields | length }}{{ links | length }}{{ rows | length }}"
        "{{ f.batch }}"
    )
    result = rendered(made(source), message(name), form)
    assert result.title
    assert result.markup is form.markup


def test_notes_come_last_unless_the_template_places_them(made: Made) -> None:
    assert rendered(made("{{ title }}\nbody"), message("late")).body == (
        "body\n\nLate: finished 00:11, reported 04:40: chat was unreachable."
    )
    placed = rendered(made("{{ title }}\n{% for note in notes %}! {{ note }}{% endfor %}\nend"), message("repeat"))
    assert placed.body == "! This may be a repeat: an earlier attempt may have arrived.end"


# ------------------------------------------------------------------------------------------- forms


def test_lines_become_the_markup_of_the_channel(made: Made) -> None:
    source = "<i>{{ title }}</i>\none\ntwo\n\nthree"
    mail = rendered(made(source), form=service_for("mailtos", limit=9999))
    assert mail.body == "<p>one<br>two</p><p>three</p>"
    teams = service_for("workflows", limit=1000)
    if teams.fixed_title:
        result = rendered(made("{{ title }}\none"), form=teams)
        assert (result.title, result.body) == (CONSTANT_TITLE, "<p><b>Ready: Interview, take 1</b></p><p>one</p>")


def test_a_title_that_is_shown_as_it_stands_has_no_escapes(made: Made) -> None:
    mail = service_for("mailtos", limit=9999)
    assert mail.raw_title
    odd = replace(message(), title="Ready: <Tom & Jerry>")
    result = rendered(made("{{ title }}\n{{ title }}"), odd, mail)
    assert result.title == "Ready: <Tom & Jerry>"
    assert result.body == "<p>Ready: &lt;Tom &amp; Jerry&gt;</p>"


@pytest.mark.parametrize("name", [*HOSTILE, HOSTILE_NAME], ids=range(len(HOSTILE) + 1))
@pytest.mark.parametrize("form", SERVICES, ids=[form.schemes[0] for form in SERVICES])
def test_no_value_breaks_out(made: Made, name: str, form: Service) -> None:
    """A template renders a hostile name exactly as the channel's own escaping does."""
    claimed = example("failed", now=NOW)[0]
    assert claimed.job is not None
    hostile = replace(claimed, job=claimed.job._replace(label=name, batch=name, error_msg=name))
    of = compose_digest([hostile], MessageContext(now=NOW))
    for value in ("f.label", "f.batch", "f.error_msg"):
        result = rendered(made(f"t\n[{{{{ {value} | cut(60) }}}}]"), of, form)
        assert "{{" not in name or "49" not in result.body
        assert "\u202e" not in result.body
        assert "\r" not in result.body
        if form.markup is Markup.HTML:
            inner = result.body.removeprefix("<p><b>t</b></p>").removeprefix("<p>").removesuffix("</p>")
            assert "<" not in inner
            assert ">" not in inner
        if form.escape("@") != "@":
            assert "@everyone" not in result.body
            assert "@all" not in result.body
            assert "://evil" not in html.unescape(result.body)


def test_links_stay_what_they_are(made: Made) -> None:
    url = "https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D"
    facts = {**message().facts, "preview_url": url, "label": "https://evil.example/x"}
    of = replace(message(), links=(Link(name="Preview", url=url),), facts=facts)
    source = "t\n{{ links[0].url }} {{ f.preview_url }} {{ f.label }}"
    slack = rendered(made(source), of, service_for("slack", limit=9999)).body
    assert slack.startswith(f"{url} {url} ")
    assert "https://evil" not in slack
    mail = rendered(made(source), of, service_for("mailto", limit=9999)).body
    assert mail.count(url.replace("&", "&amp;")) == 2
    odd = replace(of, links=(Link(name="x", url="javascript:alert('<b>')"),))
    assert "<b>" not in rendered(made("t\n{{ links[0].url }}"), odd, service_for("mailto", limit=9999)).body


def test_every_text_in_the_values_is_escaped() -> None:
    """Including nested ones, whatever the facts contain."""
    of = replace(message(), facts={"failures": [{"name": "<b>", "deep": [["<i>"], {"x": "<u>"}]}], "event": "x"})
    found = repr(values(of, service_for("mailto", limit=9999)))
    for tag in ("<b>", "<i>", "<u>"):
        assert tag not in found
        assert html.escape(tag) in found


def test_every_name_is_explained_and_given() -> None:
    assert set(values(message(), JSON)) == set(NAMES)
    assert set(values(replace(message(), facts={}), JSON)["f"]) == set(FACTS)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- faults in a file


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("{{ title }\nx", 1, "unexpected '}'"),
        ("a\n{% if x %}\n", 2, "Unexpected end of template"),
        ("a\n\n{{ titel }}", 3, "there is no 'titel'; did you mean 'title'?"),
        ("a\n{{ f.jobid }}", 2, "f has no 'jobid'; did you mean 'job_id'?"),
        ("a\n{{ title | shout }}", 2, "No filter named 'shout'"),
        ("{{ title is funny }}", 1, "No test named 'funny'"),
        ("x\n{% include 'other' %}", 2, "including files: not offered"),
        ("{% import 'x' as y %}", 1, "importing files: not offered"),
        ("{% from 'x' import y %}", 1, "importing files: not offered"),
        ("{% extends 'x' %}", 1, "extending files: not offered"),
        ("{% macro m() %}{{ m() }}{% endmacro %}", 1, "macros: not offered"),
        ("{% for r in rows recursive %}{{ loop(rows) }}{% endfor %}", 1, "recursive loops: not offered"),
        ("{% set x %}a{% endset %}", 1, "a set with a block: not offered"),
        ("{{ title | _joined }}", 1, "No filter named '_joined'"),
        ("{{ self }}", 1, "there is no 'self'"),
        ("{{ lipsum() }}", 1, "there is no 'lipsum'"),
        ("{{ namespace() }}", 1, "there is no 'namespace'"),
        ("{{ cycler }}", 1, "there is no 'cycler'"),
        ("{{ f.items() }}", 1, "f has no 'items'"),
        ("{{ title | _sliced(1, 2, 3) }}", 1, "No filter named '_sliced'"),
        ("{{ title | safe }}", 1, "No filter named 'safe'"),
        ("{{ title | striptags }}", 1, "No filter named 'striptags'"),
    ],
)
def test_a_fault_names_its_file_and_line(made: Made, tmp_path: Path, source: str, line: int, says: str) -> None:
    with pytest.raises(ConfigFault) as fault:
        made(source)
    assert str(fault.value).startswith(f"{tmp_path / 'own.j2'}:{line}: ")
    assert says in str(fault.value)


def test_a_file_that_is_no_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"none\.j2: the template cannot be read: No such file"):
        Templates.load({"*": tmp_path / "none.j2"})
    (tmp_path / "latin.j2").write_bytes(b"ok\nGr\xfc\xdfe")
    with pytest.raises(ConfigFault, match=r"latin\.j2:2: the template is not UTF-8"):
        Templates.load({"*": tmp_path / "latin.j2"})
    (tmp_path / "big.j2").write_bytes(b"x" * 70000)
    with pytest.raises(ConfigFault, match="at most 65536 bytes"):
        Templates.load({"*": tmp_path / "big.j2"})
    with pytest.raises(ConfigFault, match="no event is called 'suceeded'; did you mean 'succeeded'"):
        Templates.load({"suceeded": tmp_path / "big.j2"})


def test_a_loop_variable_may_be_called_f(made: Made) -> None:
    assert rendered(made("{% for f in fields[:1] %}{{ f.value }}{% endfor %}")).title == "22 Nov 04:39 (UTC)"


# ------------------------------------------------------------------------------------------- the sandbox


@pytest.mark.parametrize(
    "source",
    [
        "{{ title.__class__ }}",
        "{{ title.__class__.__mro__[1].__subclasses__() }}",
        "{{ title['__class__'] }}",
        "{{ fields.append(1) }}",
        "{{ title.upper() }}",
        "{{ title.format(title) }}",
        "{{ '%s' % title }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ title * 1000000 }}",
        "{{ [title] * 1000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ title[1:] }}",
        "{{ title[0] }}",
        "{{ range.__self__ }}",
        "{{ range(10000000) | length }}",
        "{% for x in range(1, 1000) %}{{ loop.__init__ }}{% endfor %}",
        "{% for x in title %}{{ x }}{% endfor %}",
        "{{ title | join('x') }}",
        "{{ fields }}",
        "{{ f }}",
        "{{ f['nothing'] }}",
        "{{ rows[7].name }}",
        "{{ 1 / 0 }}",
        "{{ title + 1 }}",
        "{{ title | sort(attribute='__class__') | first }}x{{ title.x }}",
    ],
)
def test_what_no_template_may_do_fails_and_says_so(made: Made, source: str) -> None:
    assert reason(made(f"{source}")).startswith("own.j2: ")


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(1000) %}" * 3 + "{% endfor %}" * 3,
        "{% for a in [1,2,3,4,5,6,7,8,9] %}" * 12 + "{% endfor %}" * 12,
        "{% set x = title %}" + "{% set x = x ~ x %}" * 60 + "{{ x | length }}",
        "{% set x = title %}" + "{% set x = x + x %}" * 60 + "{{ x | length }}",
        "{% set x = [title] %}" + "{% set x = x + x %}" * 60 + "{{ x | length }}",
        "{% set x = [title, title] %}" + "{% set x = [x | join(x | join), x | join] %}" * 30 + "{{ x | length }}",
        "{% for a in range(1000) %}{{ headline }}{{ headline }}{{ headline }}{% endfor %}",
        "{% set x = 999999999 %}" + "{% set x = x * x %}" * 60 + "{{ x }}",
    ],
)
def test_a_template_ends_soon_whatever_it_does(made: Made, source: str) -> None:
    templates = made(source)
    began = time.process_time()
    assert reason(templates)
    assert time.process_time() - began < 2


def test_nothing_can_be_changed_by_a_template(made: Made) -> None:
    of = message()
    before = repr(values(of, JSON))
    reason(made("{% set f = 1 %}{{ fields.clear() }}"), of)
    assert repr(values(of, JSON)) == before


@pytest.mark.parametrize("scheme", ["discord", "pover", "wecombot"])
def test_a_result_that_is_too_long_for_the_channel_gives_way(made: Made, scheme: str) -> None:
    form = service_for(scheme, limit=2000)
    long = reason(made("t\n" + "长" * (form.limit + 1)), form=form)
    assert f"of {form.limit}" in long


def test_an_empty_result_gives_way(made: Made) -> None:
    assert reason(made("{% if event == 'failed' %}x{% endif %}\n\n ")) == (
        "own.j2: the result is empty; its first line becomes the title"
    )


def test_a_failure_names_its_line(made: Made) -> None:
    assert reason(made("a\nb\n{{ rows[9].name }}")).startswith("own.j2: line 3: ")


@pytest.mark.parametrize(
    ("text", "length", "short"),
    [
        ("Tom &amp; Jerry", 6, "Tom …"),
        ("Tom &amp; Jerry", 10, "Tom &amp;…"),
        ("a & b and more", 5, "a & …"),
        (r"a\*b\*c", 3, "a…"),
        (r"a\\b\\c", 4, "a\\\\…"),
        ("short", 5, "short"),
        ("", 5, ""),
    ],
)
def test_a_cut_leaves_no_half_of_an_escape(text: str, length: int, short: str) -> None:
    assert cut(text, length) == short


def test_every_event_can_have_a_template(tmp_path: Path) -> None:
    path = tmp_path / "x.j2"
    path.write_text("{{ title }}")
    Templates.load({event.value: path for event in Event})
