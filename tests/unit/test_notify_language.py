"""The catalogues: complete in each language, with the same placeholders, and Chinese in Chinese."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

import pytest
from msgspec import Struct

from daemon.domain.events import OPERATOR_EVENTS, Event
from daemon.domain.states import State
from daemon.metastudio import errors, kinds
from daemon.notify.message import Language, Message
from daemon.notify.message.compose import MessageContext, compose_digest
from daemon.notify.message.language import CATALOGUES, catalogue, voice
from daemon.notify.templates.examples import EXAMPLES, example
from daemon.notify.transport import verdicts

NOW = datetime(2026, 11, 22, 4, 40, tzinfo=UTC)
ENGLISH, CHINESE = catalogue(Language.ENGLISH), catalogue(Language.CHINESE)


def texts(part: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Return every text of a catalogue with its place."""
    if isinstance(part, str):
        yield place, part
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from texts(value, f"{place}.{key}")
    elif isinstance(part, tuple):
        for index, value in enumerate(part):
            yield from texts(value, f"{place}.{index}")
    else:
        assert isinstance(part, Struct), f"{place} holds {part!r}"
        for name in part.__struct_fields__:
            yield from texts(getattr(part, name), f"{place}.{name}")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def without_reasons(language: Language) -> dict[str, str]:
    return {place: text for place, text in texts(CATALOGUES[language]) if not place.startswith(".reasons")}


def test_every_language_has_every_text() -> None:
    assert set(CATALOGUES) == set(Language)
    english = without_reasons(Language.ENGLISH)
    for language in Language:
        found = without_reasons(language)
        assert found.keys() == english.keys()
        assert [place for place, text in found.items() if not text.strip() and place != ".gap"] == []


def test_every_text_has_the_same_placeholders() -> None:
    english, chinese = without_reasons(Language.ENGLISH), without_reasons(Language.CHINESE)
    for place, text in english.items():
        one = place.startswith((".counts.", ".other.", ".links_left_out", ".rows_left_out")) and place.endswith(
            ".one"
        )
        assert placeholders(chinese[place]) == placeholders(text) - ({"n"} if one else set()), place


def test_every_event_state_and_kind_has_words() -> None:
    for texts_ in CATALOGUES.values():
        jobs = set(Event) - OPERATOR_EVENTS
        assert set(texts_.titles) == jobs
        assert set(texts_.verbs) == jobs
        assert set(texts_.operators) == OPERATOR_EVENTS
        assert set(texts_.states) == set(State)
        assert set(texts_.kinds) == set(kinds.KINDS)
        assert {event.value for event in jobs} <= set(texts_.counts)
        assert set(texts_.ways) <= set(texts_.counts)


OWN_NAMES = {"wrapd", "MetaStudio", "UTC", "URL", "ID", "AK", "SK", "Token", "TLS", "HTTP", "API"}
WORD = re.compile(r"[A-Za-z]+")


def english_words(text: str) -> list[str]:
    """Return English words in a Chinese text, except names, commands and placeholders."""
    bare = re.sub(r"`[^`]*`|\{\w+\}", " ", text)
    return [word for word in WORD.findall(bare) if word not in OWN_NAMES]


def test_no_english_is_left_in_the_chinese_texts() -> None:
    left = {place: words for place, text in texts(CHINESE) if (words := english_words(text))}
    assert left == {}


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"hostile"}))
def test_no_english_is_left_in_a_chinese_message(name: str) -> None:
    """Values keep their language; everything around them is Chinese. (A hostile name is markup; `failed` is around
    it.)"""
    message = told(name, Language.CHINESE)
    theirs = re.compile(
        r"Interview, take \d+|Spring campaign|spring-launch|spring|\bde\b|[0-9a-f]{8}-[-0-9a-f]+|a1b2c3|main"
        r"|studio|15 s|The script is longer than the voice allows\.|MSS\.\d+|APIG\.\d+|THAWING"
        r"|/etc/wrapd/config\.toml: .*'digest_above'\?"
        r"|KeyError \(daemon/watch/answers\.py:\d+\)|watch"
    )
    for text in said(message):
        assert english_words(theirs.sub("", text)) == [], text


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_chinese_is_left_in_an_english_message(name: str) -> None:
    for text in said(told(name, Language.ENGLISH)):
        assert not re.search(r"[\u3000-\u9fff\uff00-\uffef]", text), text


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", EXAMPLES)
def test_no_placeholder_and_no_empty_word_is_left(name: str, language: Language) -> None:
    message = told(name, language)
    assert message.language is language
    for text in said(message):
        shown = text.replace("{{ 7 * 7 }}", "x")
        assert "{" not in shown
        assert shown == shown.strip()
        assert "None" not in shown
        assert "  " not in shown
        assert not re.search(r"[\u4e00-\u9fff] [\u4e00-\u9fff]", shown), shown


def told(name: str, language: Language) -> Message:
    look = MessageContext(zone=ZoneInfo("Asia/Shanghai"), now=NOW, language=language)
    return compose_digest(example(name, now=NOW), look)


def said(message: Message) -> list[str]:
    found = [message.title, message.headline, *message.notes]
    found += [text for field in message.fields for text in (field.name, field.value)]
    found += [text for link in message.links for text in (link.name, link.note) if text]
    found += [text for row in message.rows for text in (row.name, row.text)]
    return found


def test_the_reasons_that_wrapd_gives_are_told_in_chinese() -> None:
    """As declared where the faults are detected."""
    api = [what for _, what in (*errors._CODES.values(), *errors._EXACT.values())]
    chats = [*verdicts._NAMES.values()]
    assert len(api) > 12
    assert len(chats) > 10
    speaking = voice(Language.CHINESE, zone=UTC, now=NOW)
    for reason in (*api, *chats):
        assert english_words(speaking.reason(reason)) == [], reason
    whole = speaking.reason("the service does not know the job; HTTP 404; MSS.00000002 Job not found.")
    assert whole == "服务端没有该任务; HTTP 404; MSS.00000002 Job not found."


def test_a_phrase_of_the_reasons_is_one_that_the_program_says() -> None:
    """Every phrase exists in the source (a long one may be in two pieces)."""
    root = Path(__file__).resolve().parents[2] / "daemon"
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in root.rglob("*.py")
        if "language" not in path.parts and path.name != "reasons.py"
    )
    joined = re.sub(r'"\s*\n\s*f?"', "", source)
    assert [phrase for phrase in CHINESE.reasons if phrase not in joined] == []
