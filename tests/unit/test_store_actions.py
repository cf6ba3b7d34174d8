"""Who did what to what."""

from pathlib import Path

from daemon.domain.actions import Action, actor
from daemon.domain.jobs import ProjectName
from daemon.store import Transaction
from tests.support.store import NOW, later, open_store

ANN = actor("cli", "ann")


def test_actions_are_read_latest_first_by_page_and_by_subject(tmp_path: Path) -> None:
    def act(tx: Transaction) -> None:
        for number in range(5):
            tx.actions.note(
                Action.ASK, who=ANN, at=later(number), project=ProjectName("p"), subject=f"j{number % 2}"
            )
        tx.actions.note(Action.PAUSE, who=ANN, at=NOW, project=ProjectName("q"), details={"comment": "repairs"})

    store = open_store(tmp_path)
    store.write_now(act)
    first = store.read(lambda tx: tx.actions.page(limit=4))
    rest = store.read(lambda tx: tx.actions.page(limit=4, after=first.after))
    assert [row.id for row in first.rows + rest.rows] == [6, 5, 4, 3, 2, 1]
    assert rest.after is None
    assert (first.rows[0].what, first.rows[0].who, first.rows[0].details) == (
        "pause",
        "cli:ann",
        {"comment": "repairs"},
    )
    on_one = store.read(lambda tx: tx.actions.page(limit=9, project=ProjectName("p"), subject="j1"))
    assert [row.id for row in on_one.rows] == [4, 2]
    store.close()
