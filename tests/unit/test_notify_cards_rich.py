"""The cards of Slack, Teams, Discord, Telegram, Mattermost, ntfy and mail: limits, links, colours, what is
dropped.

The limits are repeated here as the services document them.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.notify.message import Cover, Field, Language, Link, Message, Row, Severity
from daemon.notify.services import SERVICES, service_for
from daemon.notify.services.base import Service
from tests.support.alerts import COVER, HOSTILE, message

PNG = b"\x89PNG\r\n\x1a\n"
PICTURE = "https://cdn.example.com/c.png?Expires=9&Signature=y%2B"
SEEN = Cover(url=PICTURE, data=PNG, content_type="image/png")
SCHEMES = ("slack", "workflows", "discord", "tgram", "mmosts", "ntfys", "mailtos")


def form_of(scheme: str) -> Service:
    return service_for(scheme, limit=1)


def card(scheme: str, what: Message) -> Mapping[str, Any]:
    form = form_of(scheme)
    assert form.card is not None
    return form.card(what)


def texts(value: object) -> Iterator[str]:
    """Return all strings of a payload."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _slack(payload: Any) -> bool:
    (attachment,) = payload["attachments"]
    blocks = attachment["blocks"]
    contexts = [block["elements"] for block in blocks if block["type"] == "context"]
    return (
        len(blocks) <= 50
        and 0 < len(blocks[0]["text"]["text"]) <= 150
        and all(0 < len(elements) <= 10 for elements in contexts)
        and all(len(block["image_url"]) <= 3000 for block in blocks if block["type"] == "image")
        and len(json.dumps(blocks, ensure_ascii=False)) <= 13000
    )


def _discord(payload: Any) -> bool:
    (embed,) = payload["embeds"]
    footer = embed.get("footer", {}).get("text", "")
    pairs = [(units(field["name"]), units(field["value"])) for field in embed["fields"]]
    whole = sum(map(units, (embed["title"], embed["description"], footer))) + sum(map(sum, pairs))
    return (
        0 < units(embed["title"]) <= 256
        and units(embed["description"]) <= 4096
        and units(footer) <= 2048
        and len(pairs) <= 25
        and all(0 < name <= 256 and 0 < value <= 1024 for name, value in pairs)
        and whole <= 6000
    )


def _telegram(payload: Any) -> bool:
    def shown(text: str) -> int:
        return units(html.unescape(re.sub(r"<[^>]+>", "", text)))

    return shown(payload["text"]) <= 4096 and shown(payload.get("caption", "")) <= 1024


def _ntfy(payload: Any) -> bool:
    return (
        len(payload["title"].encode()) <= 250
        and 0 < len(payload["message"].encode()) <= 4096
        and len(payload["actions"]) <= 3
        and len(json.dumps(payload, ensure_ascii=False).encode()) <= 8192 - 100
    )


def _mail(payload: Any) -> bool:
    return 0 < len(payload["subject"]) <= 200 and len(payload["html"].encode()) <= 102_000


WITHIN: Mapping[str, Callable[[Any], bool]] = {
    "slack": _slack,
    "workflows": lambda payload: len(json.dumps(payload)) <= 28 * 1024,
    "discord": _discord,
    "tgram": _telegram,
    "mmosts": lambda payload: len(json.dumps(payload, ensure_ascii=False)) <= 8000,
    "ntfys": _ntfy,
    "mailtos": _mail,
}


def huge(name: str) -> Message:
    """Return a message with more of everything than any service accepts."""
    return message(
        name,
        headline=name,
        fields=tuple(Field(name=f"Field {n}", value=name) for n in range(40)),
        links=tuple(Link(name=f"Link {n}", url=f"https://h.example.com/{n}?{'x' * 900}%3D") for n in range(20)),
        rows=tuple(
            Row(emoji="❌", name=name, text=name, link=Link(name="Watch", url=f"https://w.example.com/v/{n}"))
            for n in range(60)
        ),
        notes=(name, name),
        cover=SEEN,
    )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 700, marks=pytest.mark.long),
        "视频" * 400,
        "*_`<&@" * 120,
        pytest.param("👩\u200d👩\u200d👧" * 90, marks=pytest.mark.long),
        pytest.param("a", marks=pytest.mark.long),
    ],
)
def test_no_message_is_beyond_a_limit(scheme: str, name: str) -> None:
    assert WITHIN[scheme](card(scheme, huge(name)))


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=200), st.integers(0, 30), st.integers(0, 12), st.integers(0, 2900))
def test_any_message_is_within_the_limits_and_its_links_are_whole(
    name: str, rows: int, links: int, length: int
) -> None:
    urls = [f"https://h.example.com/{n}/{'x' * length}%3D" for n in range(links)]
    what = message(
        name,
        links=tuple(Link(name=f"Link {n}", url=url, note=name) for n, url in enumerate(urls)),
        rows=tuple(Row(emoji="✅", name=name, text=name) for _ in range(rows)),
        cover=SEEN,
    )
    for scheme in SCHEMES:
        payload = card(scheme, what)
        assert WITHIN[scheme](payload)
        text = html.unescape("\n".join(texts(payload)))
        for found in re.findall(r"https://h\.example\.com/[^\s\"'()<>`]*", text):
            assert found in urls, scheme


@pytest.mark.parametrize("scheme", SCHEMES)
def test_links_come_before_fields_where_room_is_short(scheme: str) -> None:
    what = huge("x" * 300)
    text = html.unescape("\n".join(texts(card(scheme, what))))
    assert what.links[0].url in text or "links too long for this chat" in text
    assert re.search(r"and \d+ more", text) or all(f"/v/{n}" in text for n in range(len(what.rows)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_left_out_is_told_in_the_channels_language(scheme: str) -> None:
    text = "\n".join(texts(card(scheme, replace(huge("视频" * 200), language=Language.CHINESE))))
    assert re.search(r"另有 \d+ 条", text)
    assert "more" not in text
    assert "too long" not in text


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_card_says_by_its_colour_what_became_of_it(scheme: str) -> None:
    payloads = [json.dumps(card(scheme, message(severity=severity))) for severity in Severity]
    coloured = scheme not in {"tgram", "ntfys"}
    assert len(set(payloads)) == (len(Severity) if coloured else 1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_message_is_the_same_card_and_stays_as_it_was(scheme: str) -> None:
    what = message(cover=SEEN)
    before = repr(what)
    assert card(scheme, what) == card(scheme, what)
    assert repr(what) == before
    json.dumps(card(scheme, what))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_link_is_shown_and_not_followed(scheme: str, hostile: str) -> None:
    """Links come from the service, but only http(s) may become a button."""
    what = message(links=(Link(name=hostile, url="javascript:alert(1)"), Link(name=hostile, url=COVER)))
    payload = card(scheme, what)
    flat = json.dumps(payload, ensure_ascii=False)
    assert '"url": "javascript' not in flat
    assert 'href=\\"javascript' not in flat
    assert "](javascript" not in flat
    assert "javascript:alert(1)" in flat
    assert COVER in html.unescape("\n".join(texts(payload)))


def test_a_picture_is_no_reason_to_leave_something_out() -> None:
    short, long = message(cover=SEEN), message(cover=SEEN, headline="word " * 200)
    assert card("tgram", short)["caption"] == card("tgram", short)["text"]
    assert "caption" not in card("tgram", long)
    assert "caption" not in card("tgram", message())


def test_a_picture_without_an_address_is_no_image_in_cards_that_need_one() -> None:
    own = replace(SEEN, url=None)
    for scheme in ("slack", "workflows", "mmosts", "ntfys"):
        assert card(scheme, message(cover=own)) == card(scheme, message())
        assert PICTURE in json.dumps(card(scheme, message(cover=SEEN)))
    assert card("discord", message(cover=own))["embeds"][0]["image"] == {"url": "attachment://cover.png"}
    assert "cid:cover" in card("mailtos", message(cover=own))["html"]


def test_no_rich_text_at_teams_and_no_mrkdwn_at_slack_is_ever_written() -> None:
    for hostile in HOSTILE:
        assert '"RichTextBlock"' not in json.dumps(card("workflows", message(hostile)))
        assert '"mrkdwn"' not in json.dumps(card("slack", message(hostile)))


def test_functions_of_cards_and_workflows_are_broken() -> None:
    name = "{{DATE(2017-02-14T06:08:00Z)}} ${name} @{triggerBody()} <at>x</at>"
    text = "\n".join(texts(card("workflows", message(name))))
    for function in ("{{", "${", "@{", "<at>"):
        assert function not in text


def test_commands_and_tags_are_nothing_to_press() -> None:
    text = card("tgram", message("/start #film $USD a/b c#d"))["text"]
    for pressed in ("/start", "#film", "$USD"):
        assert pressed not in text
    assert "a/b c#d" in text


@pytest.mark.parametrize("form", [form for form in SERVICES if form.card], ids=lambda form: form.schemes[0])
def test_every_card_is_made_of_the_barest_message(form: Service) -> None:
    assert form.card is not None
    bare = Message(event="test", severity=Severity.INFO, emoji="", title="", headline="", subject="")
    json.dumps(form.card(bare))
