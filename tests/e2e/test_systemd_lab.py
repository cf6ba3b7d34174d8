"""The units under a real systemd: ready, sandbox, group members, kill -9, watchdog, wrong config, backup and
restoration as docs/install.md says, stop.

A separate systemd is booted over the machine's files (tests/support/systemd_lab.sh). It runs the installed wheel,
the unit as shipped, a simulator, and a server that receives the alerts.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.errors import Exit
from tests.support.programs import ROOT, need, run

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(240)]

SCRIPT = ROOT / "tests" / "support" / "systemd_lab.sh"
PYTHON = Path("/usr/bin/python3")
CONFIG = "/etc/wrapd/config.toml"
SECRET_KEY = "lab-secret-key-0123456789abcdef"
WEB_TOKEN = "lab-web-token-0123456789abcdef"

CONFIG_TEXT = """
[database]
url = "sqlite:////var/lib/wrapd/wrapd.db"
[polling]
min_interval = "200ms"
max_interval = "1s"
[projects.lab]
endpoint = "http://127.0.0.1:9001"
project_id = "0123456789abcdef0123456789abcdef"
requests_per_second = 10
auth = { method = "aksk", access_key = { credential = "access_key" }, secret_key = { credential = "secret_key" } }
[channels.editors]
url = { credential = "editors_url" }
[web]
listen = "0.0.0.0:8787"
token = { credential = "web_token" }
"""

DROP_IN = """
[Service]
LoadCredential=access_key:/etc/wrapd/credentials/access_key
LoadCredential=secret_key:/etc/wrapd/credentials/secret_key
LoadCredential=editors_url:/etc/wrapd/credentials/editors_url
LoadCredential=web_token:/etc/wrapd/credentials/web_token
# As shipped, but for people without patience:
WatchdogSec=3
TimeoutAbortSec=1
RestartSec=100ms
"""

SINK = """
import http.server, sys
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", 9002), Sink).serve_forever()
"""

CREATE = """
import json, sys, urllib.request
body = json.dumps({"timeline": json.loads(sys.argv[1])}).encode()
request = urllib.request.Request("http://127.0.0.1:9001/_sim/jobs", body, {"Content-Type": "application/json"})
print(json.load(urllib.request.urlopen(request))["job_ids"][0])
"""

END = """
import sys, urllib.request
url = f"http://127.0.0.1:9001/_sim/jobs/{sys.argv[1]}"
urllib.request.urlopen(urllib.request.Request(url, b'{"state": "SUCCEED"}', method="PUT"))
"""

HAND_OVER = """
import sys, urllib.error, urllib.request
headers = {"Authorization": f"Bearer {sys.argv[1]}"}
request = urllib.request.Request("http://127.0.0.1:8787/api/v1/jobs", b'{"job_id": "handed-over"}', headers)
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


AS_THE_SERVICE = """
systemd-run --unit=check -p User=wrapd -p Group=wrapd \\
  $(systemctl cat wrapd | sed -n 's/^LoadCredential=/-p LoadCredential=/p') \\
  /opt/wrapd/bin/wrapd --config /etc/wrapd/config.toml config check
"""
"""As in docs/install.md, but without --pipe and --wait, which need a D-Bus daemon."""

REFUSED = """
runuser -u wrapd -- /opt/wrapd/bin/wrapd db restore --yes "$(ls /var/lib/wrapd/backups/*Z.db | tail -n 1)"
"""

EVENTS = {"daemon.started": {"6"}, "job.taken": {"6"}, "config.reloaded": {"6"}, "config.refused": {"3"}}
"""Some events with their priorities in the journal."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A booted systemd."""

    folder: Path

    def exec(self, *command: str, status: int | None = 0) -> str:
        """Run a command as root inside; return its output without trailing newlines."""
        ended = run(SCRIPT, "exec", self.folder, *command, timeout=60)
        if status is not None:
            assert ended.returncode == status, ended.stdout
        return ended.stdout.rstrip("\n")

    def unit(self, *properties: str) -> dict[str, str]:
        """Return properties of wrapd.service."""
        shown = self.exec("systemctl", "show", "wrapd", "--property", ",".join(properties))
        return dict(line.split("=", 1) for line in shown.splitlines())

    def wrapd(self, user: str, *arguments: str, status: int = 0) -> str:
        """Run a wrapd command as a person does, with the config found by default."""
        return self.exec("runuser", "-u", user, "--", "/opt/wrapd/bin/wrapd", *arguments, status=status)

    def new_job(self, timeline: str = '[["PROCESSING", null]]') -> str:
        return self.exec("/usr/bin/python3", "-c", CREATE, timeline)

    def state(self, job_id: str) -> str | None:
        shown: dict[str, str | None] = json.loads(self.wrapd("alice", "show", job_id, "--json"))
        return shown["state"]

    def active(self) -> bool:
        return self.unit("ActiveState")["ActiveState"] == "active"

    def journal(self, unit: str) -> str:
        return self.exec("journalctl", "--unit", unit, "--output", "cat", "--no-pager")


def wait_until(what: str, holds: Callable[[], bool], *, seconds: float = 20) -> None:
    """Poll ten times a second, since processes of another system do not announce when they are done."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def require_what_the_lab_needs() -> None:
    """Skip with the reason if a systemd cannot be booted."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make namespaces")
    for program in ("unshare", "nsenter", "ip", "pgrep", "systemctl", "runuser"):
        need(program)
    if not Path("/lib/systemd/systemd").exists():
        pytest.skip("needs the program systemd")
    new_enough = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    if not PYTHON.exists() or run(PYTHON, "-c", new_enough).returncode != 0:
        pytest.skip(f"needs {PYTHON} from 3.11 on, with venv: a service cannot reach any other")
    if not os.access("/sys/fs/cgroup", os.W_OK) or run("unshare", "--mount", "--pid", "--fork", "true").returncode:
        pytest.skip("needs the right to make namespaces and control groups")


def install(layer: Path, scratch: Path) -> None:
    """Follow docs/install.md below `layer`: environment, unit, users, config, credentials."""
    built = run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", scratch, ROOT)
    assert built.returncode == 0, built.stdout
    [wheel] = scratch.glob("*.whl")
    home = layer / "opt" / "wrapd"
    for command in (
        [PYTHON, "-m", "venv", home],
        [home / "bin/pip", "install", "--no-compile", "--require-hashes", "-r", ROOT / "requirements.lock"],
        [home / "bin/pip", "install", "--no-compile", "--no-deps", wheel],
    ):
        ended = run(*command, timeout=120)
        assert ended.returncode == 0, ended.stdout
    for script in (home / "bin").iterdir():  # their first lines name the interpreter at its current place
        if script.is_file() and not script.is_symlink():
            script.write_text(script.read_text().replace(str(layer), ""))

    files = {
        "etc/wrapd/config.toml": CONFIG_TEXT,
        "etc/wrapd/credentials/access_key": "lab-access-key\n",
        "etc/wrapd/credentials/secret_key": f"{SECRET_KEY}\n",
        "etc/wrapd/credentials/editors_url": "json://127.0.0.1:9002/hook\n",
        "etc/wrapd/credentials/web_token": f"{WEB_TOKEN}\n",
        "etc/systemd/system/wrapd.service": (ROOT / "packaging/wrapd.service").read_text(),
        "etc/systemd/system/wrapd.service.d/lab.conf": DROP_IN,
        "etc/systemd/system/wrapd-backup.service": (ROOT / "packaging/wrapd-backup.service").read_text(),
        "etc/systemd/system/wrapd-backup.timer": (ROOT / "packaging/wrapd-backup.timer").read_text(),
        "etc/sysusers.d/wrapd.conf": (ROOT / "packaging/wrapd.sysusers.conf").read_text(),
        "opt/sink.py": SINK,
    }
    for name, text in files.items():
        path = layer / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600 if "credentials" in name else 0o644)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Boot a systemd with wrapd installed and not yet started."""
    require_what_the_lab_needs()
    folder = tmp_path_factory.mktemp("lab")
    install(folder / "layer", tmp_path_factory.mktemp("dist"))
    booted = run(SCRIPT, "boot", folder)
    assert booted.returncode == 0, booted.stdout
    lab = Lab(folder)
    try:
        for person, group in (("alice", "wrapd"), ("bob", "nogroup")):
            lab.exec("useradd", "--create-home", "--groups", group, person)
        lab.exec("chown", "root:wrapd", CONFIG)
        lab.exec("chmod", "0640", CONFIG)
        lab.exec("systemd-run", "--unit=sink", "/usr/bin/python3", "/opt/sink.py")
        sim = ["--speed=20", "--access-key=lab-access-key", f"--secret-key={SECRET_KEY}", "--token=t" * 10]
        project = "--project-id=0123456789abcdef0123456789abcdef"
        lab.exec(
            "systemd-run", "--unit=sim", "/opt/wrapd/bin/wrapd", "sim", "--listen=127.0.0.1:9001", project, *sim
        )
        wait_until(
            "the simulator listens", lambda: ":9001 " in lab.exec("ss", "--listening", "--tcp", "--numeric")
        )
        yield lab
    finally:
        ended = run(SCRIPT, "end", folder)
        shutil.rmtree(folder)
    assert ended.returncode == 0, ended.stdout


def test_roots_first_commands_leave_nothing_in_the_services_way(lab: Lab) -> None:
    state = ["find", "/var/lib/wrapd", "-type", "f", "-printf", "%f %u %g %m\n"]
    lab.wrapd("root", "jobs", status=Exit.DATABASE)
    lab.wrapd("root", "track", "roots-own", status=Exit.DATABASE)  # systemd creates the folder at the first start
    lab.exec("install", "-d", "-o", "wrapd", "-g", "wrapd", "-m", "2770", "/var/lib/wrapd")
    for command in (["jobs"], ["show", "x"], ["deliveries"], ["channels"], ["stats"], ["explain", "x"]):
        assert "no database yet" in lab.wrapd("root", *command, status=Exit.DATABASE)
    assert lab.exec(*state) == ""
    lab.wrapd("root", "track", "roots-own")
    assert lab.exec(*state) == "wrapd.db wrapd wrapd 660"


def test_the_config_is_checked_with_the_units_credentials(lab: Lab) -> None:
    lab.wrapd("wrapd", "config", "check", status=Exit.CONFIG)  # there is none by default
    lab.exec("sh", "-c", AS_THE_SERVICE)
    wait_until("it is checked", lambda: ": ok: 1 project, 1 channel" in lab.journal("check"))


def test_start_returns_when_the_daemon_is_ready(lab: Lab) -> None:
    lab.exec("systemctl", "start", "wrapd")
    unit = lab.unit("ActiveState", "SubState", "StatusText", "NRestarts", "MainPID")
    assert (unit["ActiveState"], unit["SubState"], unit["NRestarts"]) == ("active", "running", "0")
    assert "1 jobs in 1 project" in unit["StatusText"]
    assert "daemon.started" in lab.journal("wrapd")
    lab.wrapd("alice", "untrack", "roots-own")
    status = lab.exec("cat", f"/proc/{unit['MainPID']}/status")
    for applied in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "Umask:\t0007"):
        assert applied in status


def test_the_api_listens_for_others_with_a_token_from_a_credential(lab: Lab) -> None:
    assert "0.0.0.0:8787 " in lab.exec("ss", "--listening", "--tcp", "--numeric")
    assert lab.exec("/usr/bin/python3", "-c", HAND_OVER, "x" * 30) == "401"
    assert lab.exec("/usr/bin/python3", "-c", HAND_OVER, WEB_TOKEN) == "200"
    assert "handed-over" in lab.wrapd("alice", "jobs")
    lab.wrapd("alice", "untrack", "handed-over")


def test_a_member_of_the_group_tracks_a_job_and_its_alert_arrives(lab: Lab) -> None:
    job_id = lab.new_job('[["WAITING", 20], ["PROCESSING", 20], ["SUCCEED", null]]')
    lab.wrapd("alice", "track", "--label", "From alice", job_id)
    wait_until("the job's end is seen", lambda: lab.state(job_id) == "SUCCEED")
    wait_until("the alert arrives", lambda: job_id in lab.journal("sink"))
    for file in lab.exec("find", "/var/lib/wrapd", "-type", "f", "-printf", "%f %g %m\n").splitlines():
        assert re.fullmatch(r"wrapd\.db(-wal|-shm|\.lock)? wrapd 660", file)


def test_nobody_else_reads_the_config_the_keys_or_the_database(lab: Lab) -> None:
    assert "ermission denied" in lab.wrapd("bob", "jobs", status=Exit.CONFIG)
    assert lab.exec("runuser", "-u", "bob", "--", "ls", "/var/lib/wrapd", status=2).endswith("Permission denied")
    lab.exec("runuser", "-u", "alice", "--", "cat", "/etc/wrapd/credentials/secret_key", status=1)
    lab.exec("runuser", "-u", "alice", "--", "sh", "-c", f"echo >> {CONFIG}", status=2)


def test_kill_9_is_followed_by_a_restart_that_goes_on(lab: Lab) -> None:
    job_id = lab.new_job()
    lab.wrapd("alice", "track", job_id)
    wait_until("the job is asked about", lambda: lab.state(job_id) == "PROCESSING")
    before = lab.unit("MainPID", "NRestarts")
    lab.exec("kill", "-KILL", before["MainPID"])
    wait_until("a new process", lambda: lab.unit("MainPID")["MainPID"] not in {"0", before["MainPID"]})
    wait_until("it is ready", lab.active)
    assert int(lab.unit("NRestarts")["NRestarts"]) == int(before["NRestarts"]) + 1
    assert "1 jobs in 1 project" in lab.unit("StatusText")["StatusText"]


def test_a_changed_config_is_taken_into_use_and_a_wrong_one_is_not(lab: Lab) -> None:
    before = lab.unit("MainPID")["MainPID"]
    lab.exec("sed", "--in-place", 's/max_interval = "1s"/max_interval = "2s"/', CONFIG)
    lab.exec("systemctl", "reload", "wrapd")
    assert "polling.max_interval: 2 s instead of 1 s" in lab.journal("wrapd")
    assert lab.wrapd("alice", "reload") == "nothing has changed"
    lab.exec("sed", "--in-place", "s/max_interval/max_intervall/", CONFIG)
    lab.exec("systemctl", "reload", "wrapd", status=1)
    assert "max_intervall" in lab.journal("wrapd")
    lab.exec("systemctl", "kill", "--signal=HUP", "wrapd")
    wait_until("it is refused", lambda: "config.refused" in lab.journal("wrapd"))
    lab.exec("sed", "--in-place", "s/max_intervall/max_interval/", CONFIG)
    lab.exec("systemctl", "reload", "wrapd")
    assert (lab.unit("MainPID")["MainPID"], lab.active()) == (before, True)


def test_the_service_is_asked_about_its_config_by_people_without_its_secrets(lab: Lab) -> None:
    checked = lab.wrapd("alice", "config", "check")
    assert ": ok: 1 project, 1 channel, 0 routes\nthe daemon runs with this config" in checked
    assert "fail" not in lab.wrapd("alice", "doctor")
    assert "== failed: " in lab.wrapd("alice", "templates", "preview", "--channel", "editors", "--event", "failed")
    lab.exec(
        "sh",
        "-c",
        f"echo 'timezone = \"Asia/Shanghai\"' | sed --in-place '/channels.editors/r /dev/stdin' {CONFIG}",
    )
    differs = "channels.editors.timezone: Asia/Shanghai instead of UTC"
    for command in (["config", "check"], ["doctor"], ["channels"], ["routes", "explain", "--event", "failed"]):
        assert differs in lab.wrapd("alice", *command)
    assert '"timezone": "UTC"' in lab.wrapd("alice", "channels", "--json")
    lab.exec("systemctl", "kill", "--signal=HUP", "wrapd")
    wait_until("it is in use", lambda: "the daemon runs with this config" in lab.wrapd("alice", "config", "check"))
    assert '"timezone": "Asia/Shanghai"' in lab.wrapd("alice", "channels", "--json")


def test_a_fault_is_found_before_a_restart_meets_it(lab: Lab) -> None:
    lab.exec("sed", "--in-place", 's/credential = "editors_url"/credential = "editor_url"/', CONFIG)
    refused = lab.wrapd("alice", "config", "check", status=Exit.CONFIG)
    assert "channels.editors.url: systemd passed no credential editor_url to this service" in refused
    assert "the daemon continues with the config it read at" in refused
    assert "config: fail: channels.editors.url" in lab.wrapd("alice", "doctor", status=Exit.FAILED)
    assert lab.active()
    lab.exec("sed", "--in-place", 's/credential = "editor_url"/credential = "editors_url"/', CONFIG)
    lab.wrapd("alice", "config", "check")


def test_a_changed_secret_of_the_unit_is_said_to_take_a_restart(lab: Lab) -> None:
    source = "/etc/wrapd/credentials/web_token"
    lab.exec("sh", "-c", f"echo {WEB_TOKEN}-new > {source}")
    said = f"credential web_token: {source} has changed since wrapd.service was started"
    for command in ("config", "check"), ("doctor",), ("reload",):
        assert said in lab.wrapd("root", *command)
        assert "web_token" not in lab.wrapd("alice", *command)  # she may not see that file
    lab.exec("systemctl", "restart", "wrapd")
    assert "credential web_token" not in lab.wrapd("root", "config", "check")
    assert lab.exec("/usr/bin/python3", "-c", HAND_OVER, f"{WEB_TOKEN}-new") == "200"
    lab.wrapd("alice", "untrack", "handed-over")


def test_lines_of_the_journal_have_their_priorities_and_one_time(lab: Lab) -> None:
    said = lab.exec("journalctl", "--unit", "wrapd", "--output", "json", "--no-pager", "_COMM=wrapd")
    lines = [json.loads(line) for line in said.splitlines()]
    priorities = {event: {line["PRIORITY"] for line in lines if event in line["MESSAGE"]} for event in EVENTS}
    assert priorities == EVENTS
    assert not any(re.match(r"<|\d{4}-", line["MESSAGE"]) for line in lines)
    assert lab.active()


def of_docs(first: str, language: str = "sh") -> str:
    """Return the block in docs/install.md that begins with these words."""
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    [block] = [str(each) for each in blocks if each.startswith(first)]
    return block


def test_the_timer_backs_up_and_a_killed_daemons_database_is_restored_by_the_docs(lab: Lab) -> None:
    told, runs = lab.new_job(), lab.new_job()
    lab.wrapd("alice", "track", told, runs)
    wait_until("they are asked about", lambda: lab.state(told) == lab.state(runs) == "PROCESSING")

    install_timer = of_docs("install -m 0644 packaging/wrapd-backup.service").splitlines()
    for line in install_timer:
        if not line.startswith("install "):  # the files are there
            said = lab.exec("sh", "-c", line)
    assert "wrapd-backup.service" in said
    # As at three o'clock: the timer's own unit, in its sandbox.
    lab.exec("systemctl", "start", "wrapd-backup.service")
    shown = lab.exec("systemctl", "show", "wrapd-backup", "--property=Result,ExecMainStatus")
    assert shown.splitlines() == ["Result=success", "ExecMainStatus=0"]
    found = lab.exec("find", "/var/lib/wrapd/backups", "-printf", "%f %u %g %m\n").splitlines()
    assert re.fullmatch(r"backups wrapd wrapd 2750 wrapd-\d{8}T\d{6}Z\.db wrapd wrapd 600", " ".join(found))
    assert "backup: ok: the newest of 1 is" in lab.wrapd("alice", "doctor")

    # Another folder, as the page says.
    drop_in = "/etc/systemd/system/wrapd-backup.service.d/override.conf"
    lab.exec(
        "sh", "-c", f"mkdir -p $(dirname {drop_in}) && cat > {drop_in} <<'END'\n{of_docs('[Service]', 'ini')}END"
    )
    lab.exec("install", "-d", "-o", "wrapd", "-g", "wrapd", "-m", "0700", "/srv/backups/wrapd")
    lab.exec("systemctl", "daemon-reload")
    lab.exec("systemctl", "start", "wrapd-backup.service")
    assert len(lab.exec("ls", "/srv/backups/wrapd").splitlines()) == 1
    assert len(lab.exec("ls", "/var/lib/wrapd/backups").splitlines()) == 1
    lab.exec("rm", drop_in)
    lab.exec("systemctl", "daemon-reload")

    later = lab.new_job()
    lab.wrapd("alice", "track", later)
    lab.exec("/usr/bin/python3", "-c", END, told)
    alerts = ("deliveries", "--job", told, "--json")
    wait_until("its end is told", lambda: '"status": "sent"' in lab.wrapd("alice", *alerts))
    said = lab.exec("sh", "-c", REFUSED, status=Exit.RUNNING)
    assert "a daemon uses this database" in said

    arrived = lab.journal("sink").count(told)
    lab.exec("systemctl", "kill", "--signal=KILL", "wrapd")
    said = lab.exec("sh", "-ec", of_docs("systemctl stop wrapd\nnewest="))
    assert "1 alert sent since the backup will not be sent again" in said
    assert f"wrapd track --project lab {later}" in said
    wait_until("it is ready", lab.active)
    found = lab.exec("find", "/var/lib/wrapd", "-maxdepth", "1", "-type", "f", "-printf", "%f %u %g %m\n")
    for each in found.splitlines():
        assert re.fullmatch(r"wrapd(\.db(-wal|-shm|\.lock)?|-replaced-\w+\.db) wrapd wrapd 660", each)
    assert found.count("-replaced-") == 1
    wait_until("its end is found again", lambda: lab.state(told) == "SUCCEED")
    jobs = json.loads(lab.wrapd("alice", "jobs", "--json"))
    assert {told, runs} <= {job["job_id"] for job in jobs}
    assert later not in {job["job_id"] for job in jobs}
    lab.wrapd("alice", "track", later)
    wait_until("it goes on", lambda: lab.state(later) == "PROCESSING")
    assert lab.journal("sink").count(told) == arrived
    lab.wrapd("alice", "untrack", runs, later)


def test_a_deleted_database_is_noticed_and_the_service_starts_again(lab: Lab) -> None:
    before = lab.unit("MainPID")["MainPID"]
    lab.exec("sh", "-c", "rm /var/lib/wrapd/wrapd.db*")
    wait_until("a new process", lambda: lab.unit("MainPID")["MainPID"] not in {"0", before})
    wait_until("it is ready", lab.active)
    lab.wrapd("alice", "track", lab.new_job())
    assert "database.replaced" in lab.journal("wrapd")


def test_a_database_that_only_a_person_can_help_is_said_once_and_not_tried_again(lab: Lab) -> None:
    lab.exec("systemctl", "stop", "wrapd")
    lab.exec("sh", "-c", "cd /var/lib/wrapd && mv wrapd.db kept && echo another program > wrapd.db")
    lab.exec("systemctl", "start", "wrapd", status=1)
    unit = lab.unit("SubState", "ExecMainStatus")
    assert (unit["SubState"], unit["ExecMainStatus"]) == ("failed", str(Exit.UNUSABLE.value))
    assert lab.journal("wrapd").count("belongs to another program") == 1
    lab.exec("sh", "-c", "cd /var/lib/wrapd && mv kept wrapd.db")
    lab.exec("systemctl", "reset-failed", "wrapd")
    lab.exec("systemctl", "start", "wrapd")


def test_the_watchdog_ends_a_process_that_stands_still(lab: Lab) -> None:
    wait_until("it is ready", lab.active)
    before = lab.unit("MainPID")["MainPID"]
    lab.exec("kill", "-STOP", before)
    wait_until("a new process", lambda: lab.unit("MainPID")["MainPID"] not in {"0", before}, seconds=30)
    wait_until("it is ready", lab.active)
    assert "Watchdog timeout" in lab.journal("wrapd")
    calm = lab.unit("MainPID", "NRestarts")
    lab.exec("sleep", "4")  # longer than WatchdogSec: a working daemon is left alone
    assert lab.unit("MainPID", "NRestarts") == calm


def test_a_stop_is_clean_and_the_log_shows_no_secret(lab: Lab) -> None:
    lab.exec("systemctl", "stop", "wrapd")
    unit = lab.unit("ActiveState", "Result", "ExecMainStatus", "ExecMainCode")
    assert (unit["ActiveState"], unit["Result"], unit["ExecMainStatus"]) == ("inactive", "success", "0")
    said = lab.journal("wrapd")
    assert "daemon.stopped" in said
    assert SECRET_KEY not in said
    assert WEB_TOKEN not in said


def test_doctor_misses_a_daemon_where_the_unit_is_enabled(lab: Lab) -> None:
    for enabled, verdict in (("disable", "warn"), ("enable", "fail")):
        lab.exec("systemctl", enabled, "wrapd")
        lab.exec("sh", "-c", "rm /var/lib/wrapd/wrapd.db*")
        said = lab.wrapd("root", "doctor", status=Exit.FAILED)  # the secrets cannot be read here
        assert f"daemon: {verdict}: none uses this database" in said
        assert ("the systemd unit is enabled" in said) is (verdict == "fail")
        lab.exec("touch", "/var/lib/wrapd/wrapd.db")


def test_a_wrong_config_is_said_once_and_not_tried_again(lab: Lab) -> None:
    lab.exec("sed", "--in-place", "s/min_interval/min_intervall/", CONFIG)
    lab.exec("systemctl", "start", "wrapd", status=1)
    unit = lab.unit("SubState", "ExecMainStatus", "NRestarts")
    assert (unit["SubState"], unit["ExecMainStatus"]) == ("failed", str(Exit.CONFIG.value))
    said = lab.journal("wrapd")
    assert said.count("min_intervall") == 1
    assert "did you mean" in said or "min_interval" in said.replace("min_intervall", "")
