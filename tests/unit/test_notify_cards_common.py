"""Cutting, links and pictures: the parts that all cards share."""

import doctest
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.notify.message import Cover, Link, Row
from daemon.notify.message.escape import ZERO_WIDTH_SPACE, chat, html_chat, markdown
from daemon.notify.message.shrink import parts_of
from daemon.notify.services import cards as common
from daemon.notify.services import telegram
from daemon.notify.services.cards import cut, in_markdown, limited, picture, shown_url, usable, utf8, utf16
from tests.support.alerts import COVER, message

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("module", [common, telegram])
def test_the_examples_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@given(st.text(max_size=300), st.integers(8, 200), st.sampled_from([len, utf8, utf16]))
def test_what_is_cut_fits_and_begins_as_it_was(text: str, limit: int, measure: object) -> None:
    for escape in (chat, markdown, html_chat):
        shown = cut(text, limit, measure=measure, escape=escape)  # type: ignore[arg-type]
        assert measure(shown) <= limit  # type: ignore[operator]
        assert escape is not html_chat or not shown.rstrip("…").endswith(("&", "&l", "&am"))


def test_a_cut_is_never_within_a_combined_character_or_an_escape() -> None:
    family = "👩\u200d👩\u200d👧" * 3
    for limit in range(4, utf8(family)):
        kept = cut(family, limit, measure=utf8).removesuffix("…")
        assert "👩\u200d👩\u200d👧".startswith(kept[len(kept) // 5 * 5 :]) or not kept
        assert not kept.endswith("\u200d")
    accents = "e\u0301" * 20
    for limit in range(4, 40):
        kept = cut(accents, limit).removesuffix("…")
        assert unicodedata.normalize("NFC", kept) == "é" * (len(kept) // 2)
    assert cut("&&&&", 11, escape=html_chat) == "&amp;&amp;…"


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D", True),
        ("http://127.0.0.1:8080/v/abc", True),
        ("https://h.example.com", True),
        ("https://h.example.com?x=1", True),
        (COVER, False),  # the document's own example has no host
        ("javascript:alert(1)", False),
        ("https://user@h.example.com/", False),
        ("https://h.example.com/a b", False),
        ("https://h.example.com/<script>", False),
        ('https://h.example.com/"onload="x', False),
        ("https://h.example.com/`x`", False),
        ("https://h.example.com/视频", False),
        ("https://h.example.com/\r\nX: y", False),
        ("https://" + "h" * 4000, False),
    ],
)
def test_which_urls_a_chat_takes(url: str, fine: bool) -> None:
    assert usable(url) is fine


def test_a_url_that_is_only_shown_can_do_nothing() -> None:
    shown = shown_url("https://x/`<@U1>|y\\\r\n\ud800")
    assert not set(shown) & set("`<>@|\\\r\n\ud800")
    assert shown_url(COVER) == COVER


def test_a_link_in_markdown_ends_where_it_should() -> None:
    link = Link(name="Preview", url="https://h/a_(1).mp4?x=@all", note="[x](http://evil.example)")
    assert in_markdown(link, parts_of(message())) == (
        "[Preview](https://h/a_%281%29.mp4?x=%40all) "
        f"(\\[x\\](http:{ZERO_WIDTH_SPACE}//evil{ZERO_WIDTH_SPACE}.example))"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [("https://cdn.example.com/c.png?S=%2B", True), ("http://cdn.example.com/c.png", False), (None, False)],
)
def test_a_picture_is_shown_by_a_link_that_anybody_can_fetch(url: str | None, shown: bool) -> None:
    cover = Cover(url=url, data=PNG, content_type="image/png")
    assert picture(message(cover=cover)) == (url if shown else None)
    assert picture(message()) is None


def test_what_is_beyond_a_limit_is_counted() -> None:
    rows = tuple(Row(emoji="✅", name=f"film {n}", text="finished") for n in range(9))
    parts = limited(parts_of(message(rows=rows)), most_rows=4, most_link=60)
    assert [row.name for row in parts.rows] == ["film 0", "film 1", "film 2", "film 3"]
    assert (parts.cut_rows, parts.cut_links) == (5, 1)
    assert [link.name for link in parts.links] == ["Preview"]
