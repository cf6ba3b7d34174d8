"""What the pages say in Chinese that comes from elsewhere: errors, why there is no estimate, what needs a person;
and the words that they share with the messages."""

import re
from pathlib import Path

import pytest

from daemon.domain.durations import fit
from daemon.domain.planning import Reason
from daemon.notify.message.language.chinese import CHINESE as CHINESE_MESSAGES
from daemon.notify.message.language.english import ENGLISH as ENGLISH_MESSAGES
from daemon.store import REPLACED
from daemon.store.mutes import MUTED
from daemon.store.ownership import LEFT_WHILE_SENDING, STOPPED_WHILE_SENDING
from daemon.views.needs import KINDS
from daemon.views.outlooks import NO_ETA, NoEnd, NoEta
from daemon.views.waiting import WHY, Why
from daemon.web.pages.chinese import CHINESE
from daemon.web.pages.english import ENGLISH
from tests.support.browsing import FORM, logged_in
from tests.support.scene import NAMES, fill
from tests.support.store import record
from tests.support.web import TOKEN, desk

WEB, COMMANDS = (Path(__file__).parents[2] / "daemon" / name for name in ("web", "commands"))
JOB = "/jobs/main/" + "0" * 31


def test_pages_and_messages_call_kinds_and_states_the_same() -> None:
    assert CHINESE.kinds is CHINESE_MESSAGES.kinds
    assert CHINESE.states is CHINESE_MESSAGES.states
    assert ENGLISH.kinds is ENGLISH_MESSAGES.kinds
    for pages, messages in ((CHINESE, CHINESE_MESSAGES), (ENGLISH, ENGLISH_MESSAGES)):
        for name in ("note", "batch", "tags", "project"):
            assert getattr(pages, name) == messages.field_names[name]
        for name in ("watch", "download"):
            assert getattr(pages, name) == messages.link_names[name]


def test_chinese_has_every_error_that_a_page_can_show() -> None:
    sources = "".join(path.read_text() for of in (WEB, COMMANDS) for path in of.rglob("*.py"))
    keys = set(re.findall(r'\bkey="(\w+)"', sources))
    assert {"scope", "busy", "no_job"} <= keys
    assert keys <= CHINESE.errors.keys()
    unused = {key for key in CHINESE.errors if not key.isdecimal() and not key.startswith("wrong_")} - keys
    assert not unused
    assert CHINESE.need_texts.keys() == set(KINDS)
    assert CHINESE.reasons.keys() == ENGLISH.reasons.keys() == set(map(str, Reason))
    assert CHINESE.no_etas.keys() == set(map(str, NoEta)) == set(map(str, NO_ETA))
    assert CHINESE.no_ends.keys() == set(map(str, NoEnd))
    assert CHINESE.whys.keys() == set(map(str, Why)) == set(map(str, WHY))
    assert CHINESE.recorded.keys() == {REPLACED, MUTED, STOPPED_WHILE_SENDING, LEFT_WHILE_SENDING}


async def test_errors_are_in_the_readers_language(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        browser = await logged_in(it, TOKEN)
        token = await browser.token()
        for language in ("en", "zh-CN"):
            browser.cookies["wrapd_language"] = language
            for method, path, form, status, key in (
                ("GET", "/jobs/main/none", {}, 404, "no_job"),
                ("GET", "/static/none", {}, 404, "no_page"),
                ("GET", "/jobs?cursor=x", {}, 422, "wrong_cursor"),
                ("POST", f"{JOB}0/note", {"csrf": "x"}, 403, "old_form"),
                ("POST", f"{JOB}0/note", {"csrf": token, "note": "x" * 501}, 422, "note"),
                ("POST", f"{JOB}0/mute", {"csrf": token, "hours": "5"}, 422, "mute"),
                ("POST", f"{JOB}0/retry", {"csrf": token, "delivery": "9"}, 404, "no_alert"),
            ):
                told = await browser.ask(method, path, form)
                page = told.body.decode().partition("<main")[2]
                assert told.status == status, path
                assert (CHINESE.errors[key] in page) == (language == "zh-CN"), path
                assert ('<p class="says" lang="en">' in page) == (
                    language == "en" and key not in ENGLISH.errors
                ), path
            told = await browser.ask("GET", "/jobs?view=x")
            page = told.body.decode()
            assert (CHINESE.errors["422"] in page) == (language == "zh-CN")
            assert ("<code>view</code>" in page) == (language == "zh-CN")
            assert ("view: " in page) == (language == "en"), "what is wrong, as the framework says it"
            foreign = {**FORM, "Sec-Fetch-Site": "cross-site"}
            told = await browser.ask("POST", f"{JOB}0/note", {"csrf": token}, **foreign)
            assert (CHINESE.errors["foreign_form"] in told.body.decode()) == (language == "zh-CN")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_why_there_is_no_estimate(tmp_path: Path, language: str) -> None:
    async with desk(tmp_path) as it:
        fill(it, NAMES[:8])
        texts = CHINESE if language == "zh-CN" else ENGLISH
        browser = await logged_in(it, TOKEN)
        browser.cookies["wrapd_language"] = language
        waiting = (await browser.get(f"{JOB}7")).body.decode()
        assert texts.no_etas["waiting"] in waiting
        frozen = (await browser.get(f"{JOB}4")).body.decode()
        assert texts.no_etas["frozen"] in frozen
        it.durations = fit({}, {})
        few = (await browser.get(f"{JOB}0")).body.decode()
        assert texts.no_etas["too_few"].format(least=10) in few
        job = it.job(f"{7:032x}").id
        it.store.write_now(lambda tx: record(tx, job, "THAWING"))
        assert texts.no_etas["unknown_state"] in (await browser.get(f"{JOB}7")).body.decode()


async def test_a_chinese_need_has_the_words_of_the_service(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, [f"{name} {n}" for n, name in enumerate((*NAMES, *NAMES[:3]))])
        browser = await logged_in(it, TOKEN)
        browser.cookies["wrapd_language"] = "zh-CN"
        page = (await browser.get("/")).body.decode()
        [needed] = [
            each for each in (await browser.get("/api/v1/needs")).json()["items"] if each["kind"] == "failed"
        ]
        assert needed["reason"] == "MSS.0042 the avatar's licence has ended"
        said = CHINESE.need_reason.format(reason="MSS.0042 the avatar&#39;s licence has ended")
        assert CHINESE.need_texts["failed"] + said in page
