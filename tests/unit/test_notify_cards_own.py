"""The cards of Feishu, Lark, DingTalk and WeCom: their content, within each service's limits, no link cut."""

import doctest
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.notify.message import Cover, Field, Language, Link, Message, Row, Severity
from daemon.notify.message import escape as escapes
from daemon.notify.services import dingtalk, feishu, service_for, wecom
from tests.support.alerts import COVER, HOSTILE, message

LIMITS = {"feishu": 20 * 1024, "dingtalk": 20_000}
"""Bytes of a request, as the services document them."""
WATCH = Link(name="Watch", url="https://w.example.com/v/abc", note="until tomorrow")
COLON = "\uff1a"
PICTURE = Cover(url="https://w.example.com/v/abc/cover", data=b"", content_type="image/png")


def card(scheme: str, what: Message) -> Mapping[str, Any]:
    form = service_for(scheme, limit=1)
    assert form.card is not None
    return form.card(what)


def texts(value: object) -> Iterator[str]:
    """Return every text of a payload."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


def whole(payload: Mapping[str, Any]) -> str:
    return "\n".join(texts(dict(payload)))


def test_the_examples_of_the_escapes_and_of_the_signature_hold() -> None:
    assert doctest.testmod(escapes).failed == 0
    assert doctest.testmod(feishu).failed == 0


@pytest.mark.parametrize(
    ("severity", "lark", "ding", "work"),
    [
        (Severity.GOOD, "green", "#2E7D32", "info"),
        (Severity.BAD, "red", "#C62828", "warning"),
        (Severity.WARNING, "orange", "#F9A825", "warning"),
        (Severity.INFO, "blue", "#1565C0", "comment"),
    ],
)
def test_the_title_has_the_colour_of_the_end(severity: Severity, lark: str, ding: str, work: str) -> None:
    what = message(severity=severity)
    assert card("lark", what)["card"]["header"]["template"] == lark
    assert f'### <font color="{ding}">✅ Ready: Launch film</font>' in card("dingtalk", what)["actionCard"]["text"]
    assert f'<font color="{work}">✅ Ready: Launch film</font>' in card("wecombot", what)["markdown"]["content"]


@pytest.mark.parametrize("scheme", ["feishu", "lark", "dingtalk", "wecombot"])
def test_everything_that_a_message_says_is_shown(scheme: str) -> None:
    shown = whole(card(scheme, message()))
    for part in (
        "Ready: Launch film",
        "1 min 5 s",
        "Batch",
        "job-1",
        "Preview",
        "valid until 2022-12-17 01:44:17",
    ):
        assert part in shown
    assert COVER in shown
    assert "https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D" in shown
    assert "repeat" in shown


def test_links_are_buttons() -> None:
    what = message(links=(WATCH, Link(name="Download", url="https://h.example.com/d.mp4")))
    (action,) = (each for each in card("feishu", what)["card"]["elements"] if each["tag"] == "action")
    assert [(each["text"]["content"], each["type"], each["url"]) for each in action["actions"]] == [
        ("Watch", "primary", WATCH.url),
        ("Download", "default", "https://h.example.com/d.mp4"),
    ]
    body = card("dingtalk", what)["actionCard"]
    assert [(each["title"], each["actionURL"]) for each in body["btns"]] == [
        ("Watch", WATCH.url),
        ("Download", "https://h.example.com/d.mp4"),
    ]
    assert "> Watch: until tomorrow" in body["text"]
    assert body["btnOrientation"] == "1"


def test_without_a_link_to_press_dingtalk_gets_markdown() -> None:
    payload = card("dingtalk", message(links=()))
    assert payload["msgtype"] == "markdown"
    assert payload["markdown"]["title"] == "✅ Ready: Launch film"
    assert "1 min 5 s" in payload["markdown"]["text"]


def test_dingtalk_shows_the_cover_by_its_address() -> None:
    text = card("dingtalk", message(cover=PICTURE))["actionCard"]["text"]
    assert f"![]({PICTURE.url})" in text
    bare = card("dingtalk", message(cover=replace(PICTURE, url=None)))["actionCard"]["text"]
    assert "![]" not in bare
    assert "![]" not in card("dingtalk", message(cover=replace(PICTURE, url="http://w.example.com/x")))


def test_wecom_shows_a_cover_in_a_card_with_buttons() -> None:
    what = message(cover=PICTURE, links=(WATCH,))
    shown = card("wecombot", what)["template_card"]
    assert shown["card_type"] == "news_notice"
    assert shown["card_image"]["url"] == PICTURE.url
    assert shown["main_title"]["title"] == "✅ Ready: Launch film"
    assert shown["quote_area"]["quote_text"].startswith("1 min 5 s of video")
    assert shown["jump_list"] == [{"type": 1, "title": "Watch", "url": WATCH.url}]
    assert shown["card_action"] == {"type": 1, "url": WATCH.url}
    assert [each["desc"] for each in shown["vertical_content_list"]] == [
        "Watch: until tomorrow",
        "This may be a repeat.",
    ]
    assert shown["source"]["desc_color"] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"links": ()},
        {"links": (WATCH,) * 4},
        {"links": (replace(WATCH, url="https://w.example.com/" + "x" * 1100),)},
        {"headline": "x" * 200},
        {"notes": ("n",) * 5},
        {"rows": (Row(emoji="✅", name="a", text="b"),)},
    ],
    ids=["no link", "many links", "long link", "long text", "many notes", "a digest"],
)
def test_what_a_wecom_card_cannot_hold_whole_is_markdown_with_the_picture(change: dict[str, Any]) -> None:
    what = replace(message(cover=PICTURE, links=(WATCH,)), **change)
    shown = card("wecombot", what)
    assert shown["msgtype"] == "markdown_v2"
    content = shown["markdown_v2"]["content"]
    assert f"![]({PICTURE.url})" in content
    assert len(content.encode()) <= 4096
    assert "<font" not in content, "this sort has no colours"
    assert card("wecombot", replace(what, cover=None))["msgtype"] == "markdown"


@pytest.mark.parametrize(
    ("width", "height", "ratio"), [(1920, 1080, 1.78), (1024, 768, 1.33), (1080, 1920, None), (2300, 1000, None)]
)
def test_a_wecom_card_has_the_covers_own_shape_or_none(width: int, height: int, ratio: float | None) -> None:
    data = b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little")
    what = message(cover=replace(PICTURE, data=data, content_type="image/gif"), links=(WATCH,))
    shown = card("wecombot", what)
    assert shown["msgtype"] == ("markdown_v2" if ratio is None else "template_card")
    if ratio is not None:
        assert shown["template_card"]["card_image"]["aspect_ratio"] == ratio


def test_a_field_beyond_the_sixth_of_a_wecom_card_is_left_out() -> None:
    fields = tuple(Field(name=f"n{index}", value="v") for index in range(9))
    shown = card("wecombot", message(cover=PICTURE, links=(WATCH,), fields=fields))["template_card"]
    assert [each["keyname"] for each in shown["horizontal_content_list"]] == [f"n{index}" for index in range(6)]


ROWS = tuple(
    Row(
        emoji="❌" if index < 2 else "✅",
        name=f"film_{index}",
        text="finished 03:12",
        link=Link(name="Watch", url=f"https://w.example.com/v/{index:03}"),
    )
    for index in range(100)
)


@pytest.mark.parametrize("scheme", ["feishu", "dingtalk", "wecombot"])
def test_a_digest_has_a_line_for_each_alert_that_leads_to_it(scheme: str) -> None:
    shown = whole(card(scheme, message(rows=ROWS[:6], links=())))
    for index in range(6):
        assert f"[film_{index}](https://w.example.com/v/{index:03}): finished 03:12" in shown
    assert shown.index("film_0") < shown.index("film_5")


@pytest.mark.parametrize("scheme", ["feishu", "dingtalk", "wecombot"])
def test_a_digest_that_is_too_long_says_how_many_are_missing(scheme: str) -> None:
    rows = tuple(replace(row, text="视频" * 150) for row in ROWS)
    shown = whole(card(scheme, message(rows=rows, links=())))
    kept, linked = len(re.findall(r"film_\d+", shown)), len(re.findall(r"\[film_\d+\]", shown))
    assert 0 < linked <= kept < 100
    assert f"and {100 - kept} more" in shown
    assert linked == kept or f"{kept - linked} links too long" in shown or kept - linked == 1
    assert "film_0" in shown


text = st.text(max_size=400)
urls = st.builds(
    lambda path: f"https://h.example.com/{path}?Expires=1",
    st.text(alphabet="abcdefgh_/%20~*()", min_size=1, max_size=1500),
)
links = st.builds(lambda url, note: Link(name="Preview", url=url, note=note), urls, st.text(max_size=80))
messages = st.builds(
    lambda title, headline, values, found, rows, cover: replace(
        message(),
        title=title,
        headline=headline,
        fields=tuple(Field(name="Field", value=value) for value in values),
        links=tuple(found),
        rows=tuple(Row(emoji="✅", name=name, text=said, link=link) for name, said, link in rows),
        cover=PICTURE if cover else None,
    ),
    text,
    text,
    st.lists(text, max_size=8),
    st.lists(links, max_size=3),
    st.lists(st.tuples(text, text, st.none() | links), max_size=60),
    st.booleans(),
)


@pytest.mark.parametrize("scheme", ["feishu", "dingtalk", "wecombot"])
@settings(max_examples=60)
@given(what=messages)
def test_a_card_keeps_the_services_limit_and_cuts_no_link(scheme: str, what: Message) -> None:
    payload = card(scheme, what)
    size = len(json.dumps(payload, ensure_ascii=False).encode())
    if scheme in LIMITS:
        assert size <= LIMITS[scheme] - 200  # timestamp and signature
    elif payload["msgtype"] == "markdown":
        assert len(payload["markdown"]["content"].encode()) <= 4096
    given_urls = {link.url for link in what.links} | {row.link.url for row in what.rows if row.link}
    known = {url.replace("(", "%28").replace(")", "%29") for url in given_urls} | given_urls
    for each in texts(dict(payload)):
        for found in re.finditer("https://h.example.com/", each):
            assert any(each.startswith(url, found.start()) for url in known), each[found.start() :]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("scheme", ["feishu", "dingtalk", "wecombot"])
def test_a_hostile_name_marks_up_nothing(scheme: str, name: str) -> None:
    rows = (Row(emoji="✅", name=name, text=name, link=WATCH),)
    shown = "\n".join(marked_up(scheme, card(scheme, message(name, rows=rows))))
    ours = {"https://w.example.com/v/abc", "https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D"}
    assert set(re.findall(r"\]\(([^)]*)\)", shown)) <= ours
    assert not re.findall(r"<(?!/?font\b)", shown)
    assert not re.findall(r"@(?!\u200b)", shown)
    assert "`" not in shown
    assert "://evil" not in shown


def marked_up(scheme: str, payload: Mapping[str, Any]) -> Iterator[str]:
    """Return the texts that the service parses as markup."""
    if scheme == "feishu":
        for found in _objects(payload):
            if found.get("tag") == "lark_md":
                yield found["content"]
    elif scheme == "dingtalk":
        yield payload[payload["msgtype"]]["text"]
    else:
        yield payload["markdown"]["content"]


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)


def test_a_word_keeps_its_underscores_and_times_their_brackets() -> None:
    what = message("final_cut_2", notes=("told at 03:12 (UTC+8)",), cover=None)
    shown = card("wecombot", what)["markdown"]["content"]
    assert "final_cut_2" in shown
    assert "told at 03:12 (UTC+8)" in shown


def test_chinese_messages_have_chinese_signs() -> None:
    what = message(language=Language.CHINESE, links=(WATCH,))
    for scheme in ("feishu", "dingtalk", "wecombot"):
        shown = whole(card(scheme, what))
        assert f"Watch{COLON}until tomorrow" in shown or "\uff08until tomorrow\uff09" in shown
    assert f"**Batch**{COLON}Launch film" in card("dingtalk", what)["actionCard"]["text"]


def test_a_link_whose_signs_would_end_it_stays_one() -> None:
    odd = Link(name="Preview", url="https://h.example.com/a(1).mp4")
    assert (
        "[Preview](https://h.example.com/a%281%29.mp4)"
        in card("wecombot", message(links=(odd,)))["markdown"]["content"]
    )


def test_buttons_become_links_where_a_message_calls_somebody() -> None:
    payload = dingtalk.without_buttons(card("dingtalk", message(links=(WATCH,))), last="@138")
    assert payload["msgtype"] == "markdown"
    assert f"[Watch]({WATCH.url})" in payload["markdown"]["text"]
    assert payload["markdown"]["text"].endswith("\n\n@138")
    again = dingtalk.without_buttons(card("dingtalk", message(links=())), last="@138")
    assert again["markdown"]["text"].endswith("\n\n@138")


def test_the_limits_are_below_the_services() -> None:
    assert feishu.LIMIT < 20 * 1024 - 200
    assert dingtalk.LIMIT < 20_000
    assert wecom.LIMIT == 4096


def test_links_that_cannot_be_shown_take_no_room_from_what_can() -> None:
    link = Link(name="Preview", url=f"https://h.example.com/a?S={'x' * 4000}")
    what = replace(message(), links=(link,), cover=None)
    content = card("wecombot", what)["markdown"]["content"]
    assert len(content.encode()) <= wecom.LIMIT
    assert "xxx" not in content
    assert "1 link" in content
    assert what.fields
    for field in what.fields:
        assert field.name in content
