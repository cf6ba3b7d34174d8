"""What the program has is in the docs: values of the metrics' labels, routes, a recipe for each chat service. The
words that docs/troubleshooting.md and docs/recipes.md quote are the program's.

That every event, setting, command, exit status and metric is there follows from the pages' generation, which
test_config_docs.py checks; the routes of the API are tried by tests/contract/test_web_docs.py.
"""

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from daemon.domain.jobs import ChannelName
from daemon.domain.states import State
from daemon.notify.services import SERVICES, base
from daemon.notify.services.answers import Exchange, Hold, PlainOnce, Retry, Step, Wire
from daemon.notify.transport import ChannelSettings, open_channel
from daemon.notify.transport.verdicts import judge
from daemon.store import AttemptOutcome, DeliveryStatus
from daemon.web.scopes import ROUTES
from docs.pages_metrics import LABELS, declared
from tests.support.docs_blocks import blocks
from tests.support.programs import ROOT

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """The name of each call of a module whose first argument is a text, with that text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = ast.unparse(node.func)
            if isinstance(node.args[0].value, str):
                yield name, node.args[0].value


@cache
def every_call() -> tuple[tuple[str, str], ...]:
    return tuple(each for path in (ROOT / "daemon").rglob("*.py") for each in calls(path))


def test_every_value_of_a_label_is_in_the_docs() -> None:
    shown = dict(LABELS)
    by = {
        "`operation`": {text for name, text in every_call() if name == "_Call"},
        "`part`": {
            text for name, text in every_call() if name == "Tasks" or re.search(r"(^|\.|_)defects\.note$", name)
        },
        "`status`": set(map(str, DeliveryStatus)),
        "`outcome` of an attempt": set(map(str, AttemptOutcome)),
        "`by`": {"single", "ids", "feed"},
    }
    assert len(by["`part`"]) > 8
    for label, values in by.items():
        assert set(re.findall(r"`(\w+)`", shown[label])) == values, label
    assert {label for each in declared() for label in each.labels} == {
        word for label in shown for word in re.findall(r"`(\w+)`", label)
    }
    assert all(state in text_of("docs/channels.md") for state in State)


def test_every_route_is_in_the_docs() -> None:
    pages = " ".join(text_of(f"docs/{name}.md") for name in ("pages", "api", "callbacks", "monitoring"))
    for route, methods in ROUTES.items():
        if "GET" not in methods or route.startswith(("/api/v1/", "/static/")):
            continue
        words = re.sub(r"\{\w+\}", r"(?:[A-Z]+|\\{\\w+\\})", route)
        assert re.search(rf"`{words}[`…,]", pages), route


RECIPES = {
    "feishu": "Feishu",
    "lark": "Lark",
    "dingtalk": "DingTalk",
    "wecombot": "WeCom",
    "slack": "Slack",
    "workflows": "Microsoft Teams",
    "discord": "Discord",
    "tgram": "Telegram",
    "mmosts": "Mattermost",
    "rockets": "Rocket.Chat",
    "ntfys": "ntfy",
    "mailtos": "E-mail",
    "jsons": "A webhook of your own",
    "gchat": "Others",
    "matrixs": "Others",
    "gotifys": "Others",
    "pover": "Others",
}
"""The heading of the recipe whose address opens a channel with this scheme."""


def sections(page: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)\n", text_of(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_chat_service_has_a_recipe_whose_address_opens_it() -> None:
    opened = {}
    for heading, text in sections("docs/recipes.md").items():
        for url in re.findall(r'^url = "(.*)"', text, re.MULTILINE):
            channel = open_channel(ChannelSettings(name=ChannelName("docs"), url=url))
            opened[channel.scheme] = heading
    assert opened == RECIPES
    tested = (base.Tested.CONFORMANCE, base.Tested.MAIL_SERVER)
    for service in SERVICES:
        if service.tested in tested:
            assert any(opened.get(scheme, "Others") != "Others" for scheme in service.schemes), service.schemes
    assert len({opened[scheme] for scheme in opened} - {"Others"}) == 13


HELD, TOO_FAST, AGAIN = "held", "too fast", "for the time being"
SAYS = {HELD: Hold, TOO_FAST: Retry, AGAIN: Retry}
"""How the explanation of a refusal begins, and the verdict that it stands for."""
OF_STATUS = {"Unauthorized": 401, "Invalid Webhook Token": 401, "Unknown Webhook": 404}
"""Words of services whose meaning is decided by their status."""


def answers_with(words: str) -> Iterator[Exchange]:
    """The answers in which a service may say this, in the form of each service."""
    code = int(found[0]) if (found := re.findall(r"\b\d{5,}\b", words)) else None
    status = re.fullmatch(r"HTTP (\d{3})|(\d{3})", words)
    text = words.partition(": ")[2] or words
    bodies: list[object] = [{"code": code, "msg": text}, {"errcode": code, "errmsg": text}] if code else []
    bodies += [{"code": code, "error": text, "message": text}] if code else []
    bodies += [
        *({"ok": False, "error": text}, {"success": False, "error": text}),
        *({"id": text}, {"error": {"code": text}}),
        {"ok": False, "description": f"Bad Request: {text}"},
    ]
    if "number is" in words:  # wrapd's own
        bodies += [{"ok": False, "description": "upgraded", "parameters": {"migrate_to_chat_id": -100}}]
    statuses = [int(status[1] or status[2])] if status else [200, 400, OF_STATUS.get(words, 400)]
    for body in bodies:
        for each in statuses:
            yield Exchange(status=each, body=json.dumps(body).encode())
    if status and len(words) == 3:
        yield Exchange(wire=Wire.SMTP, step=Step.RCPT, status=int(words), body=b"5.7.1 refused")
    yield Exchange(wire=Wire.SMTP, step=Step.RCPT, status=454, body=f"4.7.1 {words}".encode())


def refusals(heading: str) -> list[tuple[str, str]]:
    """What a service says, and what the recipe says that it means, one word or code at a time."""
    rows = re.findall(r"^\| (.*?) \| (.*) \|$", sections("docs/recipes.md")[heading], re.MULTILINE)
    return [
        (quoted or code, meaning)
        for said, meaning in rows
        for quoted, code in re.findall(r"`([^`]+)`|(?<!\w)(\d{5,})", said)
    ]


@pytest.mark.parametrize("heading", [each for each in dict.fromkeys(RECIPES.values()) if each != "Others"])
def test_a_recipe_says_what_the_program_makes_of_a_refusal(heading: str) -> None:
    [service] = [each for each in SERVICES for scheme in each.schemes if RECIPES.get(scheme) == heading][:1]
    for words, meaning in refusals(heading):
        wanted = [verdict for begins, verdict in SAYS.items() if meaning.startswith(begins)]
        got = [
            type(judge(service.rule, [each], accepted=False, error=None, now=NOW)) for each in answers_with(words)
        ]
        assert (wanted[0] if wanted else PlainOnce if "without links" in meaning else Retry) in got, words


@cache
def source(folder: str) -> str:
    """The text of a folder's modules, with strings that are split over lines joined."""
    text = " ".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", text)


def test_the_words_of_symptoms_are_the_programs() -> None:
    text = text_of("docs/troubleshooting.md")
    known = source("daemon")
    tables = re.findall(r"^\| what it says \|.*\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    quoted = [words for cell in cells for words in re.findall(r"`([^`]+)`", cell)]
    quoted += re.findall(r"403 `([^`]+)`", text)
    assert len(quoted) > 15
    missing = [words for words in quoted if words.lower() not in known.lower()]
    assert missing == []


def test_log_events_and_metrics_that_the_pages_name_exist() -> None:
    events = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", text_of("docs/logs.md"), re.MULTILINE))
    metrics = {each.name for each in declared()}
    for page in ("troubleshooting", "operating", "upgrading", "quickstart", "recipes"):
        text = text_of(f"docs/{page}.md")
        named = set(re.findall(r"`((?:auth|callback|channel|clock|config|database|delivery|web)\.[a-z_]+)`", text))
        settings = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", text_of("docs/api.md") + text_of("docs/install.md")))
        assert named - events - settings - {"web.pages", "auth.method", "web.enabled"} == set(), page
        assert set(re.findall(r"`(wrapd_[a-z_]+)`", text)) <= metrics, page


def test_every_toml_of_a_recipe_is_of_a_channel() -> None:
    for block in blocks("toml"):
        if block.page == "docs/recipes.md":
            assert block.text.startswith("[channels.")
