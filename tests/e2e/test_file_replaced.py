"""The database's file is not the open one any more: the daemon reports it within seconds, ends with status 4 to be
restarted, and then works with the new file. No command says "tracked" about a file that no daemon reads."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.errors import Exit
from tests.support.live import FAST, PATIENCE, LiveDaemon, LiveSim, Manager, events, to, until
from tests.support.webhook import Webhook

pytestmark = pytest.mark.long


def delete(state: Path) -> None:
    for file in state.glob("wrapd.db*"):
        file.unlink()


def delete_the_database_alone(state: Path) -> None:
    (state / "wrapd.db").unlink()


def replace(state: Path) -> None:
    shutil.copy(state / "wrapd.db", state / "restored")
    (state / "restored").replace(state / "wrapd.db")


def delete_the_log(state: Path) -> None:
    (state / "wrapd.db-wal").unlink()


@pytest.mark.parametrize("change", [delete, delete_the_database_alone, replace, delete_the_log])
def test_it_ends_to_be_started_again_and_takes_up_what_is_there(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    database = f'[database]\nurl = "sqlite:///{state}/wrapd.db"\n[web]\nlisten = "127.0.0.1:0"\n'
    with LiveSim() as sim, Webhook() as hook, Manager(tmp_path / "notify") as manager:
        config = FAST + database + sim.project() + to(hook)
        environ = {"NOTIFY_SOCKET": str(manager.path)}
        with LiveDaemon(tmp_path, config, environ=environ) as daemon:
            [old] = sim.jobs(timeline=[("PROCESSING", None)])
            daemon.command("track", old)
            daemon.wait_for("job.moved", after="PROCESSING")
            change(state)
            [new] = sim.jobs(timeline=[("SUCCEED", None)])
            later = change in (delete_the_log, delete_the_database_alone)
            if not later:  # a log without its file, or a file without its log: each command fails and says so
                daemon.command("track", new)
            [line] = daemon.wait_for("database.replaced", level="error")
            assert daemon.wait(PATIENCE) == Exit.DATABASE
            assert "while wrapd had it open" in line["what"]
            assert "restart wrapd" in daemon.said
            assert "while wrapd had it open" in manager.hears("STATUS=")
            assert "Traceback" not in daemon.said
            daemon.start()
            if change is delete_the_log:
                assert old in daemon.states(), "nothing of it is lost"
            if later:
                daemon.command("track", new)
            until("the new job is told", lambda: "succeeded" in events(hook))
            assert daemon.stop().status == 0


def test_a_folder_that_is_renamed_makes_it_not_ready_and_no_file_appears(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    database = f'[database]\nurl = "sqlite:///{state}/wrapd.db"\n[web]\nlisten = "127.0.0.1:0"\n'
    with LiveSim() as sim, Webhook() as hook:
        with LiveDaemon(tmp_path, FAST + database + sim.project() + to(hook)) as daemon:
            jobs = sim.jobs(count=3, timeline=[("PROCESSING", None)])
            daemon.command("track", *jobs)
            daemon.wait_for("job.moved", count=3)
            state.rename(tmp_path / "elsewhere")
            assert daemon.wait(PATIENCE) == Exit.DATABASE
            daemon.wait_for("daemon.stopped")
            assert not state.exists()
            (tmp_path / "elsewhere").rename(state)
            assert len(daemon.json("jobs")) == 3, "all that was stored is there"
