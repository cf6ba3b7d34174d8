"""`wrapd watch` beside a real daemon and a simulated service: each outcome with its status, on terminals and in a
pipe; Ctrl-C leaves the jobs tracked."""

import json
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.live import FAST, PATIENCE, LiveDaemon, LiveSim, to
from tests.support.process import COMMAND
from tests.support.programs import ROOT
from tests.support.screens import kept
from tests.support.terminal import Terminal
from tests.support.webhook import Webhook

pytestmark = pytest.mark.long

WEB_OFF = "[web]\nenabled = false\n"
SHORT = '\nnot_found_grace = "1s"\n'
OUTCOMES: Mapping[str, tuple[str, str, int]] = {
    "succeeded": ("avatar", "SUCCEED", 0),
    "canceled": ("avatar", "CANCELED", 10),
    "partial": ("picture_modeling", "PARTIAL_SUCCEED", 11),
    "frozen": ("avatar", "BLOCK", 12),
    "failed": ("avatar", "FAILED", 13),
}


def watch(daemon: LiveDaemon, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "--config", daemon.config, "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=daemon.environ,
    )


def test_each_outcome_of_the_service_has_its_status(tmp_path: Path) -> None:
    config = FAST.replace("[polling]", f"[polling]{SHORT}") + WEB_OFF
    with LiveSim() as sim, Webhook() as hook, LiveDaemon(tmp_path, config + sim.project() + to(hook)) as daemon:
        for outcome, (kind, state, status) in OUTCOMES.items():
            [job] = sim.jobs(kind=kind, timeline=[("PROCESSING", 0.5), (state, None)])
            daemon.command("track", "--kind", kind, "--batch", outcome, job)
            process = watch(daemon, "--batch", outcome, "--json")
            out, err = process.communicate(timeout=PATIENCE)
            last = json.loads(out.splitlines()[-1])
            assert (process.returncode, last["outcomes"], last["reason"], err) == (
                status,
                {outcome: 1},
                "ended",
                "",
            )
        daemon.command("track", "--batch", "lost", "0" * 32)
        process = watch(daemon, "--batch", "lost")
        out, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out.splitlines()[-1]) == (12, "1 lost")
        process = watch(daemon, "--tag", "none", "--once")
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 6


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])
def test_the_last_table_stays(tmp_path: Path, columns: int, rows: int) -> None:
    lives = [("第一集", "SUCCEED"), ("Episode 2", "FAILED"), ("第三集", "CANCELED"), ("Episode 4", "SUCCEED")]
    with (
        LiveSim() as sim,
        Webhook() as hook,
        LiveDaemon(tmp_path, FAST + WEB_OFF + sim.project() + to(hook)) as daemon,
    ):
        jobs = [sim.jobs(timeline=[("PROCESSING", None)])[0] for _ in lives]
        for job, (label, _) in zip(jobs, lives, strict=True):
            daemon.command("track", "--label", label, "--batch", "b", job)
        with Terminal(tmp_path, "watch", "--batch", "b", columns=columns, rows=rows) as terminal:
            terminal.wait_for("4 running")
            for number, (job, (_, state)) in enumerate(zip(jobs, lives, strict=True), 1):
                sim.do(lambda it, job=job, state=state: it.set_state(job, state))  # type: ignore[misc]
                if number < len(jobs):
                    terminal.wait_for(f"{len(jobs) - number} running")
            status, shown = terminal.ended()
        assert status == 13
        assert terminal.screen.scrolled == 0
        assert daemon.stop().status == 0
    for number, job in enumerate(jobs):
        shown = shown.replace(job[:8], f"job-000{number}")
    shown = re.sub(r"\b\d+s +", lambda found: "9s".ljust(len(found[0])), shown)
    kept(f"watch-live-{columns}x{rows}", shown)


def test_ctrl_c_leaves_the_jobs_tracked(tmp_path: Path) -> None:
    with LiveSim() as sim, LiveDaemon(tmp_path, FAST + WEB_OFF + sim.project()) as daemon:
        [job] = sim.jobs(timeline=[("PROCESSING", None)])
        daemon.command("track", job)
        process = watch(daemon, job[:8])
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert out.splitlines()[-1] == "1 running"
        assert err == "Interrupted. The jobs stay tracked; `wrapd watch` shows them again.\n"
        assert daemon.states()[job][1] == "active"
        daemon.stop()
        process = watch(daemon, job, "--timeout", "1s")
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err.splitlines()) == (
            124,
            [
                "No daemon uses this database: these jobs are not polled. `wrapd run` starts one.",
                "Some jobs still run after 1s. They stay tracked.",
            ],
        )


@pytest.mark.parametrize(("state", "status", "says"), [("SUCCEED", 0, "all are there\n"), ("FAILED", 13, "")])
def test_the_script_of_the_docs_waits_for_a_batch(tmp_path: Path, state: str, status: int, says: str) -> None:
    script = (ROOT / "docs/scripts.md").read_text().split("```sh\n")[1].split("```")[0]
    with LiveSim() as sim, LiveDaemon(tmp_path, FAST + WEB_OFF + sim.project()) as daemon:
        (tmp_path / "ids.txt").write_text(
            "\n".join(sim.jobs(count=3, timeline=[("PROCESSING", 1.0), (state, None)]))
        )
        command = " ".join(map(str, [*COMMAND, "--config", daemon.config]))
        (tmp_path / "wrapd").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (tmp_path / "wrapd").chmod(0o755)
        path = f"{tmp_path}:{daemon.environ['PATH']}"
        ended = subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=tmp_path,
            env={**daemon.environ, "PATH": path, "BATCH": "w12", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ended.returncode == status
    assert ended.stdout.endswith(says)
    assert ended.stderr == ""
