"""Messages in each service's format: escaped, within the limit, no link cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.notify.message import Field, Language, Link, Message, Row
from daemon.notify.services import SERVICES, service_for
from daemon.notify.services.base import Markup, Service, Unit
from daemon.notify.services.cards import PLAIN_LIMIT, plainest, render
from tests.support.alerts import COVER, HOSTILE, message

FORM_IDS = [form.schemes[0] for form in SERVICES]

text = st.text(max_size=300)
urls = st.builds(
    lambda path: f"https://h.example.com/{path}?Expires=1",
    st.text(alphabet="abcdefgh_/%20~*@", min_size=1, max_size=900),
)
messages = st.builds(
    lambda title, headline, values, links, notes: replace(
        message(),
        title=title,
        headline=headline,
        fields=tuple(Field(name="Field", value=value) for value in values),
        links=tuple(Link(name="Preview", url=url, note="valid") for url in links),
        notes=tuple(notes),
    ),
    text,
    text,
    st.lists(text, max_size=8),
    st.lists(urls, max_size=3),
    st.lists(st.just("This may be a repeat."), max_size=1),
)


@pytest.mark.parametrize("form", SERVICES, ids=FORM_IDS)
@given(whole=messages)
def test_every_form_keeps_its_limit(form: Service, whole: Message) -> None:
    rendered = render(whole, form)
    assert form.measure(rendered.title) + form.measure(rendered.body) <= form.limit


@pytest.mark.parametrize("limit", [150, 300, 600, 1000, 2000])
@given(whole=messages)
def test_a_link_is_whole_or_not_there(limit: int, whole: Message) -> None:
    rendered = render(whole, Service(schemes=("x",), limit=limit))
    for line in rendered.body.splitlines():
        if line.startswith("https://h.example.com/"):
            assert line in {link.url for link in whole.links}


@pytest.mark.parametrize("form", SERVICES, ids=FORM_IDS)
def test_a_usual_message_keeps_everything(form: Service) -> None:
    rendered = render(message(), form)
    whole = rendered.title + rendered.body
    for part in ("Ready: Launch film", "1 min 5 s", "Preview", "Cover", "Batch", "01:44:17 UTC", "repeat"):
        assert part in whole
    assert COVER in whole.replace("&amp;", "&")


def test_what_matters_least_goes_first() -> None:
    bodies = [render(message(), Service(schemes=("x",), limit=limit)).body for limit in (700, 600, 400, 300, 120)]
    assert "job-1" in bodies[0]
    assert [("Preview" in body, COVER in body) for body in bodies] == [
        (True, True),
        (True, True),
        (True, False),
        (True, False),
        (False, False),
    ]
    assert "1 link too long for this chat" in bodies[2]
    assert all("made for Launch film" in body for body in bodies[:3])


def test_one_giant_link_does_not_crowd_out_the_others() -> None:
    giant = Link(name="Preview", url="https://h.example.com/" + "x" * 3000)
    short = Link(name="Cover", url="https://h.example.com/c.png")
    body = render(message(links=(giant, short)), service_for("discord", limit=1)).body
    assert short.url in body
    assert giant.url not in body


ROWS = tuple(
    Row(
        emoji="✅",
        name=f"film {index}",
        text="finished 03:12",
        link=Link(name="Watch", url=f"https://w.example.com/v/{index}") if index % 2 else None,
    )
    for index in range(20)
)


def test_a_message_about_many_has_a_line_for_each() -> None:
    body = render(message(rows=ROWS[:4], links=()), Service(schemes=("x",), limit=3000)).body
    assert "✅ film 0: finished 03:12\n✅ film 1: finished 03:12\nWatch:\nhttps://w.example.com/v/1\n" in body
    html = render(message(rows=ROWS[:4], links=()), service_for("gchat", limit=1)).body
    assert 'film 1: finished 03:12<br><a href="https://w.example.com/v/1">Watch</a><br>' in html


def test_a_row_is_worth_more_than_its_link() -> None:
    many = message(
        rows=tuple(replace(row, link=row.link or Link(name="W", url="https://w.example.com/")) for row in ROWS)
    )
    body = render(replace(many, links=()), Service(schemes=("x",), limit=1200)).body
    assert body.count("finished 03:12") == 20
    kept = body.count("https://w.example.com/")
    assert 5 < kept < 20
    assert f"{20 - kept} links too long for this chat" in body
    assert body.index("https://w.example.com/") < body.index("film 19")


@pytest.mark.parametrize("limit", [250, 400, 550])
def test_rows_that_do_not_fit_are_counted(limit: int) -> None:
    body = render(message(rows=ROWS, links=()), Service(schemes=("x",), limit=limit)).body
    kept = body.count("finished 03:12")
    assert 0 < kept < 20
    assert f"and {20 - kept} more" in body
    assert "film 0" in body


def test_chinese_messages_have_chinese_signs() -> None:
    body = render(message(language=Language.CHINESE), Service(schemes=("x",), limit=3000)).body
    assert "Preview\uff08valid\uff09\uff1a\nhttps://h.example.com/a_b.mp4" in body
    assert "Batch\uff1aLaunch film" in body


def test_bytes_are_counted_where_the_service_counts_bytes() -> None:
    form = service_for("wecombot", limit=1)
    assert form.unit is Unit.UTF8_BYTES
    rendered = render(message("视频" * 500), form)
    assert len((rendered.title + rendered.body).encode()) <= 2048
    assert "h.example.com/a_b.mp4?Expires=1&Signature=x%3D" in rendered.body


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("form", SERVICES, ids=FORM_IDS)
def test_hostile_names_neither_call_nor_link_nor_mark_up(form: Service, name: str) -> None:
    rendered = render(message(name), form)
    whole = rendered.body if form.raw_title else f"{rendered.title}\n{rendered.body}"
    f"{rendered.title}{rendered.body}".encode()
    assert len(rendered.title.splitlines()) == 1
    assert not any(char in whole for char in "\x00\x07\x1b\r\u202e\u2066\ud800")
    if form.markup is Markup.HTML:
        for tag in ("<script", "<img", '<a href="http://evil', "<at ", "<!"):
            assert tag not in whole
    if form.markup is Markup.MARKDOWN:
        assert "[x](" not in whole
        assert " <@U" not in whole
    if form.schemes[0] in {"feishu", "dingtalk", "wecombot", "slack", "discord", "mmost", "tgram", "gchat"}:
        for call in ("@everyone", "@here", "@all", "://evil", "www.evil"):
            assert call not in whole
    if "lark" in form.schemes:
        assert "<at" not in whole


def test_a_services_own_markup_is_not_read_in_a_teams_title() -> None:
    rendered = render(message("**x**"), service_for("workflows", limit=1))
    assert rendered.title == "wrapd"
    assert "Ready: **x**" in rendered.body


def test_an_address_that_is_no_url_is_shown_whole_and_not_linked() -> None:
    body = render(message(), service_for("tgram", limit=1)).body
    assert '<a href="https://h.example.com/a_b.mp4?Expires=1&amp;Signature=x%3D">Preview</a>' in body
    assert 'href="https://{endpoint}' not in body
    assert f"<code>{COVER.replace('&', '&amp;')}</code>" in body


@pytest.mark.parametrize(
    "url", ['https://h.example.com/"onclick=x', "https://h.example.com/<b>", "javascript:x()"]
)
def test_a_hostile_link_does_not_leave_its_place(url: str) -> None:
    body = render(message(links=(Link(name="Preview", url=url),)), service_for("mailto", limit=1)).body
    assert '"onclick' not in body
    assert "<b>" not in body
    assert 'href="javascript' not in body


@given(whole=messages)
def test_the_plainest_form_is_short_and_without_symbols(whole: Message) -> None:
    rendered = plainest(whole)
    assert rendered.body
    assert rendered.title
    assert len(rendered.body) <= PLAIN_LIMIT + 110
    assert not set("<>@`[]|") & set(rendered.title + rendered.body)
    assert all(ord(char) < 0x1F000 for char in rendered.title + rendered.body)


def test_an_unknown_service_takes_text_of_its_own_limit() -> None:
    form = service_for("somechat", limit=160)
    rendered = render(message(), form)
    assert form.markup is Markup.TEXT
    assert len(rendered.title) + len(rendered.body) <= 160
