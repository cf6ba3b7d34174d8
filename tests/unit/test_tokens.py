"""Tokens of the API: their form, their refusal, the rows they leave, and `wrapd tokens`."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.commands.tokens import create_token, revoke_token
from daemon.domain.actions import Action, Actor
from daemon.domain.tokens import ApiScope, id_of, new_token
from daemon.errors import UnknownName, UsageFault
from daemon.store import Transaction
from tests.support.cli_runner import Runner
from tests.support.web import NOW, desk

WHO = Actor("cli:ann")
RANDOM = bytes(range(25))


def test_a_token_has_its_id_in_it_and_every_bit_of_its_randomness() -> None:
    made = new_token(RANDOM)
    assert len(made.text) == len("wrapd_") + 8 + 32
    assert id_of(made.text) == made.id == made.text[6:14]
    assert len({new_token(RANDOM[:n] + bytes([RANDOM[n] ^ 1]) + RANDOM[n + 1 :]).text for n in range(25)}) == 25
    assert made.text not in repr(made)
    for text in ("", made.text[:-1], made.text + "a", made.text.upper(), made.text.replace("_", "-"), made.id):
        assert id_of(text) is None


async def test_of_a_token_only_its_digest_is_kept_and_each_change_has_a_row(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:

        def create(tx: Transaction) -> str:
            return create_token(tx, "cms", ApiScope.WRITE, random=RANDOM, who=WHO, at=NOW).text

        text = it.store.write_now(create)
        with pytest.raises(UsageFault, match="already"):
            it.store.write_now(create)
        for name in ("", "a b", "x" * 65, "web.token", "é"):
            with pytest.raises(UsageFault):
                it.store.write_now(
                    lambda tx, name=name: create_token(tx, name, ApiScope.READ, random=RANDOM, who=WHO, at=NOW)
                )
        with pytest.raises(UsageFault, match="expired"):
            it.store.write_now(
                lambda tx: create_token(
                    tx, "b", ApiScope.READ, random=RANDOM, who=WHO, at=NOW, expires_at=NOW - timedelta(1)
                )
            )
        [gone] = it.store.write_now(lambda tx: revoke_token(tx, "cms", who=WHO, at=NOW))
        assert gone.id == id_of(text)
        for again in ("cms", gone.id, "other"):
            with pytest.raises(UnknownName):
                it.store.write_now(lambda tx, again=again: revoke_token(tx, again, who=WHO, at=NOW))
        rows = it.store.read(lambda tx: tx.actions.page(limit=9)).rows
        assert [(row.what, row.who, row.subject, row.details) for row in rows] == [
            (Action.REVOKE_TOKEN, WHO, "cms", None),
            (Action.CREATE_TOKEN, WHO, "cms", {"scope": "write"}),
        ]
    secret = text[14:].encode()
    assert not any(secret in each.read_bytes() for each in tmp_path.iterdir() if each.is_file())


def test_the_commands_create_list_and_revoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Runner(tmp_path, capsys)
    text = run("tokens", "create", "cms", "--scope", "write", "--expires", "90d").out.strip()
    [listed] = json.loads(run("tokens", "list", "--json").out)
    assert (listed["name"], listed["scope"], listed["status"]) == ("cms", "write", "open")
    assert text[14:] not in run("tokens", "list").out
    again = run("tokens", "create", "cms")
    assert (again.status, again.out, "already" in again.err) == (2, "", True)
    assert run("tokens", "revoke", "cms").out == f"cms ({text[6:14]}): revoked\n"
    assert json.loads(run("tokens", "list", "--json").out)[0]["status"] == "revoked"
    assert run("tokens", "revoke", "cms").status != 0
