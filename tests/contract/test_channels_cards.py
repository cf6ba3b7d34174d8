"""Rich messages of the services that use Apprise's plugins with our cards: what arrives, in how many requests.

Mail uses SMTP with a server on the loopback; all others use HTTP with stand-ins that refuse what exceeds a limit.
"""

import dataclasses
import email
import email.policy
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from msgspec.structs import replace

from daemon.domain.jobs import ChannelName
from daemon.notify.message import Cover, Language, Link, Message, Row, Severity
from daemon.notify.services.base import Picture
from daemon.notify.services.cards import Rendered
from daemon.notify.transport import Channel, ChannelSettings, open_channel
from daemon.notify.transport.verdicts import Dead, Hold, Retry, Sent, Unknown
from tests.support.alerts import message
from tests.support.mailbox import Mailbox
from tests.support.services import SERVICES, TLS, Service, Stand, pointed
from tests.support.smtp_server import Fault, MailServer
from tests.support.webhook import Answer, Received, Webhook, form_fields, ok_json

PREVIEW = "https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D"
PICTURE = "https://cdn.example.com/c.png?Expires=9&Signature=y%2B"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
COVER = Cover(url=PICTURE, data=PNG, content_type="image/png")
CARDED = {
    name: service.known.picture
    for name, service in SERVICES.items()
    if service.known.card is not None and service.host is not None
}
"""Services with a card that are reached at their own hosts, through a plugin of Apprise's."""
CARDS = tuple(CARDED)
BY_LINK = tuple(name for name, picture in CARDED.items() if picture is Picture.URL)
UPLOADED = tuple(name for name, picture in CARDED.items() if picture is Picture.UPLOAD)


@contextmanager
def standing(name: str, **changes: Any) -> Iterator[tuple[Channel, Stand]]:
    service: Service = dataclasses.replace(SERVICES[name], **changes)
    with Stand(service) as stand, pointed([stand]):
        yield opened(stand.url()), stand


def opened(url: str) -> Channel:
    return open_channel(ChannelSettings(name=ChannelName("x"), url=url))


def with_cover(**values: Any) -> Message:
    return message(cover=COVER, **values)


def digest(number: int = 100) -> Message:
    """Return one message about many alerts, each with its link."""
    rows = tuple(
        Row(
            emoji="❌" if n < 3 else "✅",
            name=f"第{n}集·发布会宣传片 终版",
            text="失败, 素材无法读取",
            link=Link(name="观看", url=f"https://wrapd.example.com/v/{n:032x}"),
        )
        for n in range(number)
    )
    return message(rows=rows, links=(), event="digest", severity=Severity.BAD, language=Language.CHINESE)


def body_of(received: Received) -> dict[str, Any]:
    fields = form_fields(received)
    assert fields is not None
    return json.loads(fields["payload_json"]) if "payload_json" in fields else fields


def raw_of(received: Received) -> bytes:
    """Return the body with its escapes decoded."""
    encoded = received.headers["content-type"].startswith("application/x-www-form-urlencoded")
    return unquote_to_bytes(received.body.replace(b"+", b" ")) if encoded else received.body


# ------------------------------------------------------------------------------------------ all services


@pytest.mark.parametrize("name", CARDS)
def test_an_alert_with_its_picture_is_one_request(name: str) -> None:
    with standing(name) as (channel, stand):
        report = channel.send(with_cover(), timeout=5)
        assert isinstance(report.verdict, Sent), (report, stand.complaints)
        assert report.requests == len(stand.requests) == 1
        raw = raw_of(stand.requests[0])
    assert (PNG in raw) is (name in UPLOADED)
    assert (PICTURE.encode() in raw) is (name in BY_LINK)
    assert PREVIEW.encode() in raw.replace(b"&amp;", b"&")


@pytest.mark.parametrize("name", CARDS)
def test_a_hundred_alerts_are_one_message_within_the_limits(name: str) -> None:
    with standing(name) as (channel, stand):
        report = channel.send(digest(), timeout=5)
        assert isinstance(report.verdict, Sent), (report, stand.complaints)
        assert (report.requests, stand.complaints) == (1, [])
        (received,) = stand.requests
    text = json.dumps(body_of(received), ensure_ascii=False)
    shown = [n for n in range(100) if f"第{n}集" in text]
    assert shown == list(range(len(shown)))
    assert len(shown) >= 15
    assert (f"{100 - len(shown)} 条" in text) is (len(shown) < 100)
    linked = [n for n in range(100) if f"https://wrapd.example.com/v/{n:032x}" in text]
    assert linked == list(range(len(linked)))
    assert 5 <= len(linked) <= len(shown)


@pytest.mark.parametrize("name", CARDS)
def test_a_picture_that_is_refused_leaves_the_alert_as_it_is(name: str) -> None:
    with standing(name) as (channel, stand):
        stand.program("key", Answer(status=400, body=b"invalid_blocks"))
        report = channel.send(with_cover(), timeout=5)
        assert isinstance(report.verdict, Sent), report
        first, second = stand.requests
    assert report.requests == 2
    raw = raw_of(second)
    assert PNG not in raw
    assert PICTURE.encode() not in raw
    assert PREVIEW.encode() in raw.replace(b"&amp;", b"&")
    assert b"This may be a repeat" in raw
    assert b"Batch" in raw, "no plainest form"
    assert first.body != second.body


@pytest.mark.parametrize("name", CARDS)
def test_what_is_refused_in_every_form_is_dead_after_three(name: str) -> None:
    refused = Answer(status=400, body=b"no")
    with standing(name) as (channel, stand):
        stand.program("key", *[refused] * 5)
        report = channel.send(with_cover(), timeout=5)
        assert isinstance(report.verdict, Dead)
        assert report.requests == len(stand.requests) == 3
        stand.forget()
        stand.requests.clear()
        stand.program("key", *[refused] * 5)
        assert channel.send(message(), timeout=5).requests == 2, "without a picture there is one form less"


@pytest.mark.parametrize("name", UPLOADED)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(hang=True), Unknown),
        (Answer(reset=True), Unknown),
        (Answer(status=500), Retry),
        (Answer(status=429, headers={"Retry-After": "8"}), Retry),
        (Answer(status=403), Hold),
    ],
)
def test_nothing_follows_a_picture_that_may_have_arrived(name: str, answer: Answer, kind: type) -> None:
    with standing(name) as (channel, stand):
        stand.program("key", answer)
        report = channel.send(with_cover(), timeout=0.5)
        assert type(report.verdict) is kind, report
        assert len(stand.requests) == 1


@pytest.mark.parametrize("name", CARDS)
def test_values_of_nothing_visible_are_taken(name: str) -> None:
    with standing(name) as (channel, stand):
        nothing = message("\u200b\u2066\x00", rows=(Row(emoji="✅", name="\u200b", text=""),), headline="\u200b")
        report = channel.send(nothing, timeout=5)
        assert isinstance(report.verdict, Sent), (report, stand.complaints)
        assert (report.requests, stand.complaints) == (1, [])


# ------------------------------------------------------------------------------------------ single services


def test_slack_takes_name_and_channel_from_the_url_and_blocks_from_the_card() -> None:
    form = "slack://robot@xoxb-1234-1234-{key}/#alerts"
    with standing("slack", form=form, host="slack.com", accepts=ok_json({"ok": True})) as (channel, stand):
        report = channel.send(with_cover(), timeout=5)
        assert isinstance(report.verdict, Sent), report
        (received,) = stand.requests
    assert received.path == "/api/chat.postMessage"
    assert received.headers["authorization"].startswith("Bearer xoxb-1234-1234-")
    body = received.json
    assert (body["channel"], body["username"]) == ("#alerts", "robot")
    assert set(body) == {"channel", "username", "attachments", "unfurl_links", "unfurl_media"}
    (attachment,) = body["attachments"]
    assert set(attachment) == {"color", "fallback", "blocks"}
    assert attachment["blocks"][0]["type"] == "header"
    assert attachment["blocks"][-1] == {
        "type": "image",
        "image_url": PICTURE,
        "alt_text": "✅ Ready: Launch film",
    }
    assert "mrkdwn" not in json.dumps(body)


def test_a_refusal_of_slacks_blocks_in_a_200_body_is_seen() -> None:
    form = "slack://xoxb-1234-1234-{key}/#alerts"
    with standing("slack", form=form, host="slack.com", accepts=ok_json({"ok": True})) as (channel, stand):
        stand.program("chat.postMessage")
        stand.default = ok_json({"ok": False, "error": "invalid_blocks"})
        report = channel.send(message(), timeout=5)
        assert isinstance(report.verdict, Dead)
        assert (report.requests, "invalid_blocks" in report.reason) == (2, True)


def test_teams_gets_an_adaptive_card_of_what_it_is_known_to_render() -> None:
    with standing("teams") as (channel, stand):
        channel.send(with_cover(), timeout=5)
        body = stand.requests[0].json
    content = body["attachments"][0]["content"]
    kinds = {element["type"] for element in content["body"]}
    assert kinds == {"Container", "Image", "TextBlock", "FactSet"}
    assert content["body"][0]["style"] == "good"
    assert content["actions"] == [{"type": "Action.OpenUrl", "title": "Preview", "url": PREVIEW}]
    assert "RichTextBlock" not in json.dumps(body)
    assert "selectAction" not in json.dumps(body)
    assert "entities" not in content["msteams"]


@pytest.mark.parametrize(
    "what",
    [digest(100), message("视频" * 2000), message('\\"' * 900), message('"' * 900 + "\U0001f3ac" * 900)],
    ids=["digest", "chinese", "quotes", "emoji"],
)
def test_teams_never_gets_a_card_that_it_would_drop_unseen(what: Message) -> None:
    """A workflow accepts anything with 202; what is too large fails later, unseen."""
    with standing("teams") as (channel, stand):
        assert isinstance(channel.send(what, timeout=5).verdict, Sent)
        content = stand.requests[0].json["attachments"][0]["content"]
    assert len(json.dumps(json.dumps(content)).encode()) <= 26_000
    assert content["body"][0]["items"][0]["text"]


@pytest.mark.parametrize(
    ("kind", "size", "shown"),
    [("image/png", 1000, True), ("image/webp", 1000, False), ("image/jpeg", 1_000_001, False)],
)
def test_teams_gets_a_picture_that_it_shows(kind: str, size: int, shown: bool) -> None:
    assert shown_by_teams(Cover(url=PICTURE, data=b"x" * size, content_type=kind)) is shown


@pytest.mark.parametrize(
    ("width", "height", "shown"), [(1024, 1024, True), (1025, 576, False), (576, 1025, False)]
)
def test_teams_gets_no_picture_of_more_pixels_than_it_shows(width: int, height: int, shown: bool) -> None:
    assert shown_by_teams(picture_of(width, height)) is shown


def picture_of(width: int, height: int) -> Cover:
    data = PNG[:8] + b"\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return Cover(url=PICTURE, data=data, content_type="image/png")


def shown_by_teams(cover: Cover) -> bool:
    with standing("teams") as (channel, stand):
        channel.send(message(cover=cover), timeout=5)
        content = stand.requests[0].json["attachments"][0]["content"]
    return any(element["type"] == "Image" for element in content["body"])


@pytest.mark.parametrize(
    ("width", "height", "path"),
    [
        (1920, 1080, "sendPhoto"),
        (100, 2001, "sendMessage"),
        (9000, 1001, "sendMessage"),
        (5000, 5000, "sendPhoto"),
    ],
)
def test_telegram_gets_a_picture_of_a_shape_that_it_takes(width: int, height: int, path: str) -> None:
    with standing("telegram") as (channel, stand):
        assert isinstance(channel.send(message(cover=picture_of(width, height)), timeout=5).verdict, Sent)
        (received,) = stand.requests
    assert received.path.endswith(path)


def test_discord_calls_nobody_in_any_form() -> None:
    with standing("discord") as (channel, stand):
        channel.send(message("@everyone"), timeout=5)
        card = stand.requests[0].json
        stand.requests.clear()
        stand.program("key", Answer(status=400))
        channel.send(message("@everyone"), timeout=5)
        plain = stand.requests[1].json
    for body in (card, plain):
        assert body["allowed_mentions"] == {"parse": []}
        assert "allow_mentions" not in body
    assert "embeds" in card
    assert "embeds" not in plain


def test_discord_calls_whom_the_channels_url_names_and_nobody_else() -> None:
    form = "discord://robot@417421629841831629/{key}?ping=<@80351110224678912>&thread=77"
    with standing("discord", form=form) as (channel, stand):
        channel.send(message("@everyone <@1>"), timeout=5)
        (received,) = stand.requests
    body = received.json
    assert body["content"] == "👉 <@80351110224678912>"
    assert body["allowed_mentions"] == {"parse": [], "users": ["80351110224678912"], "roles": []}
    assert body["username"] == "robot"
    assert received.path.endswith("?thread_id=77&wait=true")


def test_discord_is_asked_once_where_it_says_too_fast() -> None:
    with standing("discord") as (channel, stand):
        stand.program("key", Answer(status=429, headers={"Retry-After": "3", "X-RateLimit-Remaining": "0"}))
        report = channel.send(with_cover(), timeout=5)
        assert isinstance(report.verdict, Retry)
        assert (report.verdict.after, len(stand.requests)) == (3, 1)


def test_telegram_shows_the_picture_with_all_of_a_short_alert() -> None:
    with standing("telegram") as (channel, stand):
        channel.send(with_cover(), timeout=5)
        (received,) = stand.requests
    fields = form_fields(received)
    assert fields is not None
    assert received.path.endswith("/sendPhoto")
    assert fields["photo"] == PNG
    assert (fields["chat_id"], fields["parse_mode"], fields["disable_notification"]) == (
        "12315544",
        "HTML",
        "false",
    )
    assert fields["caption"].startswith("<b>✅ Ready: Launch film</b>\n1 min 5 s of video")
    assert fields["caption"].endswith("<i>This may be a repeat.</i>")


def test_telegram_shows_a_long_alert_as_text_and_nothing_is_left_out() -> None:
    long = with_cover(headline="word " * 199)
    with standing("telegram", form="tgram://123456789:{key}/-100123:9?silent=yes") as (channel, stand):
        channel.send(long, timeout=5)
        (received,) = stand.requests
    body = received.json
    assert received.path.endswith("/sendMessage")
    assert (body["chat_id"], body["message_thread_id"]) == (-100123, 9)
    assert (body["disable_notification"], body["disable_web_page_preview"]) == (True, True)
    assert body["text"].count("word") == 199
    assert "Batch: Launch film" in body["text"]


def test_telegrams_refused_photo_is_told_by_the_verdict_on_the_text() -> None:
    refused = ok_json({"ok": False, "description": "Bad Request: IMAGE_PROCESS_FAILED"}, status=400)
    with standing("telegram") as (channel, stand):
        stand.program("key", refused)
        assert channel.send(with_cover(), timeout=5).verdict == Sent(reason="HTTP 200", status=200)
        assert [request.path.rpartition("/")[2] for request in stand.requests] == ["sendPhoto", "sendMessage"]
        stand.program("key", refused, Answer(status=403))
        assert isinstance(channel.send(with_cover(), timeout=5).verdict, Hold)


def test_rocketchat_by_webhook_and_by_login() -> None:
    with standing("rocketchat") as (channel, stand):
        assert isinstance(channel.send(with_cover(), timeout=5).verdict, Sent)
        (by_hook,) = stand.requests
    assert by_hook.path.startswith("/hooks/aBcDeFgHiJkLmNoPq/")
    (attachment,) = by_hook.json["attachments"]
    assert (attachment["image_url"], attachment["color"]) == (PICTURE, "#2E7D32")
    logged_in = ok_json({"status": "success", "data": {"authToken": "a", "userId": "b"}})
    with Webhook(default=logged_in) as hook:
        hook.program(logged_in, ok_json({"success": True}), logged_in)
        channel = opened(f"rocket://user:password@{hook.address}/#town")
        assert isinstance(channel.send(with_cover(), timeout=5).verdict, Sent)
        _, by_login, _ = hook.requests
    assert by_login.path == "/api/v1/chat.postMessage"
    assert by_login.json == {"channel": "#town", **by_hook.json}


def test_mattermost_by_webhook_and_by_bot() -> None:
    form = "mmosts://robot@chat.example.com/path/{key}?channel=town&icon_url=https://own.example.com/i.png"
    with standing("mattermost", form=form) as (channel, stand):
        assert isinstance(channel.send(with_cover(), timeout=5).verdict, Sent)
        (received,) = stand.requests
    assert received.path.startswith("/path/hooks/")
    body = received.json
    assert (body["username"], body["channel"], body["icon_url"]) == (
        "robot",
        "town",
        "https://own.example.com/i.png",
    )
    assert body["attachments"][0]["image_url"] == PICTURE
    with Webhook(default=ok_json({"id": "post"}, status=201)) as hook:
        channel = opened(f"mmost://{hook.address}/tokentokentoken123?mode=bot&to=abcdefabcdefabcdefabcdef12")
        assert isinstance(channel.send(with_cover(), timeout=5).verdict, Sent)
        (received,) = hook.requests
    assert (received.path, received.headers["authorization"]) == ("/api/v4/posts", "Bearer tokentokentoken123")
    assert received.json["channel_id"] == "abcdefabcdefabcdefabcdef12"
    assert received.json["props"] == {"attachments": body["attachments"]}


def test_ntfy_gets_buttons_a_click_and_the_picture() -> None:
    with standing("ntfy") as (channel, stand):
        channel.send(with_cover(), timeout=5)
        body = stand.requests[0].json
    assert body["title"] == "✅ Ready: Launch film"
    assert body["tags"] == ["succeeded"]
    assert (body["click"], body["attach"]) == (PREVIEW, PICTURE)
    assert body["actions"] == [{"action": "view", "label": "Preview", "url": PREVIEW}]
    assert len(body["message"].encode()) <= 4096


def test_what_ntfys_url_says_goes_first() -> None:
    site = "https%3A%2F%2Fown.example.com%2F"
    own = f"click={site}&xtags=studio%2Cfilm&priority=high&actions=view%2COwn%2C{site}"
    with Webhook(default=ok_json({"id": "x"})) as hook:
        channel = opened(
            f"ntfy://me:pass-word@{hook.address}/topic?{own}&attach=https%3A%2F%2Fown.example.com%2Fp.png"
        )
        assert isinstance(channel.send(with_cover(), timeout=5).verdict, Sent)
        tokened = opened(f"ntfy://tk_abcdefghijklmnopqrstuvwxyz123@{hook.address}/topic?auth=token")
        assert isinstance(tokened.send(with_cover(), timeout=5).verdict, Sent)
        first, second = hook.requests
    assert first.json["topic"] == "topic"
    assert (first.json["click"], first.json["attach"]) == (
        "https://own.example.com/",
        "https://own.example.com/p.png",
    )
    assert set(first.json["tags"]) == {"studio", "film", "succeeded"}
    assert "actions" not in first.json
    assert first.headers["x-actions"].startswith("view")
    assert first.headers["x-priority"] == "high"
    assert first.headers["authorization"] == f"Basic {b64encode(b'me:pass-word').decode()}"
    assert second.headers["authorization"] == "Bearer tk_abcdefghijklmnopqrstuvwxyz123"


def test_a_text_of_the_operators_own_is_sent_without_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template's text is sent as the plain text of the service."""

    class Own:
        def render(self, _message: Message, form: Any) -> Rendered:
            return Rendered(title="Own title", body="Own body", markup=form.markup)

    for name in CARDS:
        with standing(name) as (channel, stand):
            monkeypatch.setattr(channel, "templates", Own())
            report = channel.send(with_cover(), timeout=5)
            assert isinstance(report.verdict, Sent), (name, report, stand.complaints)
            (received,) = stand.requests
        assert b"Own body" in received.body
        assert b"Launch film" not in received.body
        assert PNG not in received.body
        assert PICTURE.encode() not in received.body


@pytest.mark.parametrize("name", CARDS)
def test_a_fault_of_a_card_does_not_cost_the_alert(name: str) -> None:
    def broken(_message: Message) -> Any:
        raise KeyError("x")

    with standing(name) as (channel, stand):
        channel.service = replace(channel.service, card=broken)
        report = channel.send(with_cover(), timeout=5)
        assert isinstance(report.verdict, Sent), (report, stand.complaints)
        assert "Launch film" in raw_of(stand.requests[0]).decode("unicode_escape")


def test_telegram_finds_its_chat_by_itself_where_the_url_names_none() -> None:
    update = {"message": {"from": {"id": 77, "first_name": "x"}, "chat": {"id": 77}}}
    with standing("telegram", form="tgram://123456789:{key}/", check=lambda _received: None) as (channel, stand):
        stand.program("key", ok_json({"ok": True, "result": [update]}))
        assert isinstance(channel.send(message(), timeout=5).verdict, Sent)
        assert isinstance(channel.send(message(), timeout=5).verdict, Sent)
        ways = [request.path.rpartition("/")[2] for request in stand.requests]
        assert ways == ["getUpdates", "sendMessage", "sendMessage"], "it is found once"
        assert stand.requests[-1].json["chat_id"] == "77"


# ---------------------------------------------------------------------------------------------------------- mail


def test_a_mail_holds_its_picture_html_and_text() -> None:
    with Mailbox() as box:
        options = (
            "&cc=Second%20Reader<c@example.com>&bcc=b@example.com&reply=r@example.com&%2BX-Team=%E8%A7%86%E9%A2%91"
        )
        channel = opened(box.url(options))
        report = channel.send(with_cover(language=Language.CHINESE), timeout=5)
        assert report.verdict == Sent(reason="SMTP 250: accepted", status=250)
        (raw,) = box.messages
    mail = _read(raw)
    assert mail["Subject"] == "✅ Ready: Launch film"
    assert (mail["To"], mail["Reply-To"], mail["Bcc"]) == ("t@example.com", "r@example.com", None)
    assert "c@example.com" in mail["Cc"]
    assert mail["From"].addresses[0].addr_spec == "w@example.com"
    assert mail["X-Team"] == "视频"
    assert mail["Message-ID"]
    assert mail["Date"].datetime is not None
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"]
    parts = {part.get_content_type(): part for part in mail.walk()}
    assert parts["image/png"].get_content() == PNG
    assert parts["image/png"]["Content-ID"] == "<cover>"
    assert 'src="cid:cover"' in parts["text/html"].get_content()
    assert '<html lang="zh-CN">' in parts["text/html"].get_content()
    assert f"\n{PREVIEW}\n" in parts["text/plain"].get_content().replace("\r\n", "\n")
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert raw.isascii()


def _read(raw: bytes) -> Any:
    return email.message_from_bytes(raw, policy=email.policy.default)


def test_a_mail_without_a_picture_names_none() -> None:
    with Mailbox() as box:
        opened(box.url()).send(message(), timeout=5)
        (raw,) = box.messages
    assert b"cid:" not in raw
    assert [part.get_content_type() for part in _read(raw).walk()][1:] == ["text/plain", "text/html"]


def test_a_mail_that_is_too_large_comes_without_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))
    with MailServer() as server:
        server.program("case-1", Fault(at="END", reply="552 5.3.4 message too big"))
        report = opened(server.url("case-1")).send(with_cover(), timeout=5)
        assert isinstance(report.verdict, Sent), report
        (taken,) = server.taken
    assert "image/png" not in [part.get_content_type() for part in taken.mail.walk()]
    assert "Batch" in taken.raw.decode()


def test_a_digest_by_mail_has_every_alert() -> None:
    with Mailbox() as box:
        assert isinstance(opened(box.url()).send(digest(), timeout=5).verdict, Sent)
        (raw,) = box.messages
    bodies = [part.get_content() for part in _read(raw).walk() if not part.is_multipart()]
    for body in bodies:
        assert all(f"第{n}集" in body for n in range(100))
        assert all(f"https://wrapd.example.com/v/{n:032x}" in body for n in range(100))
