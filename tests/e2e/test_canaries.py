"""Secrets stay where they belong: a real daemon with a canary in every URL, token, key and signed query, its log
at debug level, and channels that fail in every way, some of them telling back what they were sent.

None of the canaries is in the log, the metrics, the pages, what commands print, tracebacks or `wrapd doctor`. What
must be stored or told is named here (every route of the web server is asked, those of the router's table):

- the database holds the videos' signed links (`jobs`, and `pictures`: the address that was fetched), because
  messages are written from them, and wrapd's own links' tokens (`links`), by which a click is found; nothing else;
- `jobs --json`, `show` and the API's answer about a job hold the signed links: they are what was asked for;
- `/v/…` leads to the video with a signed link, and the page of a job with wrapd's own link to it;
- `links list` holds wrapd's own links, and `callback-url` prints the address to give to MetaStudio, by design.
"""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from daemon.sim.scripts import script_text
from daemon.web.pages.rendering import LANGUAGES
from daemon.web.scopes import PAGES
from tests.support.browsing import FORM
from tests.support.everywhere import Names, changes, reads
from tests.support.live import FAST, LiveDaemon, LiveSim, until
from tests.support.programs import ROOT
from tests.support.smtp_server import Fault, MailServer
from tests.support.visits import paths_of
from tests.support.webhook import Answer, Received, Webhook, ok_json

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def canary(name: str) -> str:
    """Return a secret that is recognised anywhere."""
    return f"kanarie{name}{sum(map(ord, name)) * 7919 % 10**8:08}"


NAMES = (
    *("ak", "sk", "iampw", "apitoken", "webtoken", "callbackkey", "callbackpath"),
    *("user", "password", "path", "header", "query", "echo", "feishu", "feishusecret", "lark", "dingtalk"),
    *("dingsecret", "wecom", "mattermost", "ntfy", "mailpw", "slack", "teams", "teamssig", "discord", "telegram"),
    *("pushover", "redirect", "proxypw"),
)
SECRETS = {name: canary(name).ljust(30, "u") for name in NAMES}


@dataclass
class Found:
    """Everything that a person or a program can read, by its place."""

    texts: dict[str, bytes] = field(default_factory=dict)

    def keep(self, place: str, text: str | bytes) -> None:
        self.texts[place] = text if isinstance(text, bytes) else text.encode()

    def places(self, secret: str) -> dict[str, bytes]:
        """Return where a secret can be read (literally, quoted, or in Base64 as in a header), with its
        surroundings."""
        coded = [base64.b64encode(text.encode()) for text in (f"{SECRETS['user']}:{secret}", secret)]
        forms = [secret.encode(), quote(secret, safe="").encode(), *(form.rstrip(b"=")[:-1] for form in coded)]
        found = {}
        for place, text in self.texts.items():
            at = max(text.lower().find(form.lower()) for form in forms)
            if at >= 0:
                found[place] = text[max(0, at - 80) : at + 60]
        return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Echo(Webhook):
    """A service that refuses and repeats what it was sent, including its own address and headers."""

    def take(self, received: Received) -> Answer:
        super().take(received)
        said = f"no {received.path} {received.headers.get('authorization', '')} {received.headers}"
        return ok_json({"message": said, "error": said}, status=400)


def channels(stack: ExitStack, hook: Webhook) -> str:
    """Return a channel of every kind, with its service's answer."""

    def stand(answer: Answer) -> str:
        return stack.enter_context(Webhook(default=answer)).address

    echo = stack.enter_context(Echo()).address
    mail = stack.enter_context(MailServer(tls=False, fault=Fault(at="AUTH", reply="535 5.7.8 no"))).port
    gone = Answer(status=302, headers={"Location": f"http://127.0.0.1:9/{SECRETS['redirect']}"})
    s = SECRETS
    own = "insecure=yes&host"
    urls = {
        "hook": f"json://{s['user']}:{s['password']}@{hook.address}/{s['path']}"
        f"?%2BX-Token={s['header']}&-sig={s['query']}",
        "echo": f"json://{s['user']}:{s['password']}@{echo}/{s['echo']}?-sig={s['query']}",
        "feishu": f"feishu://{s['feishu']}?secret={s['feishusecret']}&{own}={stand(ok_json({'code': 0}))}",
        "feishu-refused": f"feishu://{s['feishu']}?secret={s['feishusecret']}&{own}="
        f"{stand(ok_json({'code': 19021, 'msg': 'bad sign ' + s['feishusecret']}))}",
        "lark": f"lark://{s['lark']}?{own}={stand(gone)}",
        "dingtalk": f"dingtalk://{s['dingsecret']}@{s['dingtalk']}/?{own}={stand(Answer(reset=True))}",
        "wecom": f"wecombot://{s['wecom']}?{own}={stand(Answer(status=401, body=s['wecom'].encode()))}",
        "mattermost": f"mmost://{stand(Answer(status=500, body=s['mattermost'].encode()))}/{s['mattermost']}",
        "ntfy": f"ntfy://{s['ntfy']}@{stand(Answer(status=429))}/topic",
        "mail": f"mailto://me:{s['mailpw']}@127.0.0.1:{mail}/?mode=insecure&from=a@example.com&to=b@example.com",
        "slack": f"slack://T1JJ3T3L2/A1BRTD4JD/{s['slack']}",
        "teams": f"workflows://prod-00.westus.logic.azure.com:443/{s['teams']}/{s['teamssig']}",
        "discord": f"discord://417421629841831629/{s['discord']}",
        "telegram": f"tgram://123456789:{s['telegram']}/12315544",
        "pushover": f"pover://{s['pushover']}@{s['pushover'][::-1]}",
    }
    return "".join(f'[channels.{name}]\nurl = "{url}"\n' for name, url in urls.items())


def config(sim: LiveSim, stack: ExitStack, hook: Webhook, port: int) -> str:
    keys, s = sim.settings, SECRETS
    callback = 'callback = {{ auth = "{}", key = "{}", track_unknown = true }}'.format
    iam = f'iam_endpoint = "{sim.url}"'
    user = f'domain = "{keys.iam_domain}", user = "{keys.iam_user}", password = "{s["iampw"]}"'
    return (
        'operators = ["hook"]\n'
        + FAST.replace('format = "json"', 'format = "json"\nlevel = "debug"')
        + f'[web]\nlisten = "127.0.0.1:{port}"\ntoken = "{s["webtoken"]}"\n'
        + f'public_url = "http://127.0.0.1:{port}"\n'
        + sim.project("main", more=callback("mss_a", s["callbackkey"]))
        + sim.project(
            "token",
            auth=f'{{ method = "token", token = "{s["apitoken"]}" }}',
            more=callback("none", s["callbackpath"]),
        )
        + sim.project("password", auth=f'{{ method = "password", {iam}, {user} }}')
        + sim.project(
            "refused", auth=f'{{ method = "aksk", access_key = "{s["ak"]}2", secret_key = "{s["sk"]}2" }}'
        )
        + channels(stack, hook)
    )


@pytest.fixture
def simulator() -> Iterator[LiveSim]:
    s = SECRETS
    with LiveSim(
        access_key=s["ak"],
        secret_key=s["sk"],
        token=s["apitoken"],
        iam_domain="studio",
        iam_user="wrapd",
        iam_password=s["iampw"],
    ) as sim:
        yield sim


def ask(
    port: int, method: str, path: str, body: object = None, token: str | None = None, *, cookie: str | None = None
) -> bytes:
    """Return an answer of the daemon's pages, including its headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Last-Event-ID": "0"} | ({"Authorization": f"Bearer {token}"} if token else {})
        headers |= {"Cookie": cookie} if cookie else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        endless = answer.getheader("Content-Type", "").startswith("text/event-stream")
        said = answer.read1() if endless else answer.read()
        return f"{answer.status} {answer.getheaders()}\n".encode() + said
    finally:
        connection.close()


def session(port: int, token: str) -> str:
    """Log in to the pages; return the cookie."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/login", urlencode({"token": token}), FORM)
        answer = connection.getresponse()
        answer.read()
        return str(answer.getheader("Set-Cookie")).partition(";")[0]
    finally:
        connection.close()


def routes(port: int, found: Found, names: Names, token: str) -> None:
    """Read every route of the web server, and try to change everything without a right to it."""
    cookie = session(port, token)
    for route, path in reads(names):
        if route in PAGES:
            for language in LANGUAGES:
                for page in paths_of(route, names):
                    said = ask(port, "GET", page, cookie=f"{cookie}; wrapd_language={language}")
                    assert said[:3] == b"200" or route.endswith("/cover/{n}"), (page, said)
                    assert cookie.partition("=")[2].encode() not in said
                    found.keep(f"GET {route} as {page} in {language}", said)
            found.keep(f"GET {path}x", ask(port, "GET", f"{path}x", cookie=cookie))
            continue
        said = ask(port, "GET", path, token=token)
        assert said[:1] in b"23" or route.endswith(("/cover", "/cover/{n}", "/answer")), (route, said)
        if route == "/api/v1/events":
            assert b"event: job" in said
        found.keep(f"GET {route}{''.join(path.partition('?')[1:])}", said)
    for method, path in changes(names):
        if not path.startswith("/callbacks/"):
            for other, body in ((None, {}), (token + "x", {"x": 1})):
                found.keep(f"{method} {path}, {other is None}", ask(port, method, path, body, other))


def pages(port: int, found: Found, job: str, own: list[str], callbacks: Mapping[str, str]) -> None:
    """Request what is not in the router's table, and what it has wrongly."""
    s = SECRETS
    for path in (
        "/",
        "/nothing",
        f"/{s['webtoken']}",
        "/docs",
        "/openapi.json",
    ):
        found.keep(f"page {path}", ask(port, "GET", path))
    wrong = [
        ("no token", None, {}),
        ("wrong token", s["webtoken"] + "x", {}),
        ("a fault", s["webtoken"], {"x": 1}),
    ]
    for name, token, body in wrong:
        found.keep(f"api, {name}", ask(port, "POST", "/api/v1/jobs", body, token))
    for project, url in callbacks.items():
        path = urlsplit(url).path
        for query in ("", f"?secret={s['callbackkey']}&time_stamp=1", "?secret=x&time_stamp=y"):
            found.keep(f"callback {project} {query[:9]}", ask(port, "POST", path + query, {"job_id": job}))
        found.keep(
            f"callback {project}, wrong", ask(port, "POST", f"/callbacks/{project}/{s['callbackpath']}", {})
        )
    for link in own:
        path = urlsplit(link).path
        for more in ("", "/download", "/cover", "/nothing"):
            ask(port, "GET", path + more)
        found.keep("a dead link", ask(port, "GET", path[:-3] + "xyz"))


COMMANDS = (
    ("jobs",),
    ("jobs", "--json"),
    ("jobs", "--csv"),
    ("batches", "--json"),
    ("needs",),
    ("needs", "--json"),
    ("mute", "list", "--all", "--json"),
    ("tokens", "list"),
    ("tokens", "list", "--json"),
    ("deliveries",),
    ("deliveries", "--json"),
    ("channels",),
    ("channels", "--json"),
    ("routes",),
    ("routes", "explain", "--event", "succeeded"),
    ("templates", "preview", "--channel", "feishu", "--event", "hostile"),
    ("templates", "preview", "--channel", "hook", "--all", "--json"),
    ("stats",),
    ("stats", "--json"),
    ("watch", "--all", "--once"),
    ("watch", "--all", "--once", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("config", "check"),
    ("channels", "test", "wecom"),
    ("channels", "test", "slack"),
    ("channels", "test", "echo"),
)


def run(daemon: LiveDaemon, *arguments: str) -> str:
    """Return the output of a command, whatever its status."""
    ended = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "--config", str(daemon.config), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=daemon.environ,
        check=False,
        timeout=120,
    )
    assert "No such command" not in ended.stdout, ended.stdout
    return ended.stdout


def tables(folder: Path) -> dict[str, bytes]:
    """Return the database, table by table, and its raw files."""
    import sqlite3

    found = {path.name: path.read_bytes() for path in folder.glob("wrapd.db*")}
    with sqlite3.connect(f"file:{folder / 'wrapd.db'}?mode=ro", uri=True) as connection:
        for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            rows = connection.execute(f'select * from "{table}"').fetchall()
            found[table] = repr(rows).encode()
    connection.close()
    return found


def signatures(hook: Webhook) -> set[str]:
    """Return the secret parts of the videos' links in the alerts."""
    text = b"\n".join(each.body for each in hook.requests).decode()
    links = re.findall(r'https?://[^"\\\s]+Signature=[^"\\\s]+', text)
    return {value for link in links for value in parse_qs(urlsplit(link).query)["Signature"]}


def failing(daemon: LiveDaemon, found: Found, job: str) -> None:
    """Start a daemon with a defect whose error contains every secret, and with a wrong config."""
    spill = " ".join(SECRETS[name] for name in NAMES if name not in {"redirect", "proxypw"})
    daemon.command("track", job, "--project", "main", "--kind", "photo")
    log = daemon.folder / "defect.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faulty", "--config", str(daemon.config), "run"],
            cwd=ROOT,
            env={**daemon.environ, "SPILL_OF_TESTS": spill},
            stdout=stream,
            stderr=stream,
        )
    try:
        until("the defect shows", lambda: "a defect at" in log.read_text())
    finally:
        process.terminate()
        process.wait(30)
    found.keep("the log of a defect", log.read_bytes())
    for number, (old, new) in enumerate(
        (("?secret=", "?retry=2&secret="), ("[web]", "[webb]"), ('"none"', '"x"'))
    ):
        broken = daemon.folder / f"broken-{number}.toml"
        broken.write_text(daemon.config.read_text().replace(old, new))
        broken.chmod(0o600)
        found.keep(f"config fault {new}", run_with(daemon, broken, "config", "check"))
        found.keep(f"config fault {new}, doctor", run_with(daemon, broken, "doctor"))


def run_with(daemon: LiveDaemon, path: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "daemon.cli", "--config", str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=daemon.environ,
        check=False,
        timeout=120,
    ).stdout


def check(found: Found, secrets: Mapping[str, str], allowed: Callable[[str, str], bool]) -> None:
    spilt = [
        f"{name} in {place}: {around!r}"
        for name, secret in secrets.items()
        for place, around in found.places(secret).items()
        if not allowed(name, place)
    ]
    assert not spilt, "\n".join(spilt)


def test_no_secret_gets_out(simulator: LiveSim, tmp_path: Path) -> None:
    found, port = Found(), free_port()
    proxy = f"http://me:{SECRETS['proxypw']}@127.0.0.1:9"
    environ = {"HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1,localhost", "HOME": str(tmp_path)}
    with ExitStack() as stack:
        hook = stack.enter_context(Webhook())
        text = config(simulator, stack, hook, port)
        daemon = stack.enter_context(LiveDaemon(tmp_path, text, environ={**os.environ, **environ}))
        jobs = {
            project: simulator.jobs(kind="photo", timeline=[("SUCCEED", None)])[0]
            for project in ("main", "token", "password")
        }
        [scripted] = simulator.jobs(timeline=[("PROCESSING", 1.0), ("SUCCEED", None)], script_chars=2000)
        daemon.command("track", scripted, "--project", "main")
        [bad] = simulator.jobs(timeline=[("FAILED", None)])
        for project, job in jobs.items():
            daemon.command("track", job, "--project", project, "--kind", "photo", "--batch", "b-1")
        daemon.command("track", bad, "--project", "main")
        daemon.command("track", "never-made", "--project", "refused")
        until("the ends are told", lambda: len({each.json.get("job_id") for each in hook.requests}) >= 5)
        assert daemon.json("show", scripted)["expected_length"], "its script was read"
        made = daemon.command("tokens", "create", "cms", "--scope", "admin").split()
        [token] = [word for word in made if word.startswith("wrapd_")]
        callbacks = {project: run(daemon, "callback-url", project).split()[0] for project in ("main", "token")}
        own = sorted(set(re.findall(rf"http://127\.0\.0\.1:{port}/v/[\w-]+", _told(hook))))
        assert own, "messages hold wrapd's own links"
        pages(port, found, jobs["main"], own, callbacks)
        delivery = daemon.json("deliveries")[0]["id"]
        link = own[0].rpartition("/")[2]
        told = ask(port, "POST", "/api/v1/batches/main/b-1/share", {}, token)
        share = json.loads(told.partition(b"\n")[2])["url"].rpartition("/")[2]
        names = Names(
            project="main",
            job_id=jobs["main"],
            batch="b-1",
            channel="hook",
            delivery=delivery,
            link=link,
            share=share,
        )
        routes(port, found, names, token)
        tokens = {link.rpartition("/")[2] for link in own}
        for command in COMMANDS:
            found.keep(" ".join(command), run(daemon, *command))
        asked = run(daemon, "show", jobs["main"], "--json")
        listed = run(daemon, "links", "list")
        assert daemon.stop().status == 0
        found.keep("the log", daemon.said)
        found.keep("messages", _told(hook))
        failing(daemon, found, simulator.jobs(kind="photo", timeline=[("SUCCEED", None)])[0])
        signed = signatures(hook)
    for name, table in tables(tmp_path).items():
        found.keep(f"table {name}", table)
    assert signed
    secrets = {
        **SECRETS,
        **{f"signature {number}": secret for number, secret in enumerate(sorted(signed))},
        **{f"token {number}": token for number, token in enumerate(sorted(tokens))},
        "script": script_text(0, 2000)[:40],
        "created token": token[14:],
        "share": share,
        "callback path": callbacks["token"].rpartition("/")[2],
    }
    check(found, secrets, _must_be_stored)
    assert 'level = "debug"' in text
    for line in ("delivery.sent", "delivery.dead", "delivery.retry", "delivery.unknown", "channel.held"):
        assert line in daemon.said, f"{line}: every way to fail was seen"
    for name, secret in SECRETS.items():
        assert secret not in asked, name
        assert secret not in listed, name


def _told(hook: Webhook) -> str:
    return b"\n".join(each.body for each in hook.requests).decode()


def _must_be_stored(secret: str, place: str) -> bool:
    if secret == "share":
        return place.startswith("GET /share/{token} as ")  # in the addresses of its covers
    if place == "messages":
        return secret.startswith(("signature", "token "))
    if secret.startswith("signature"):
        if place in {"GET /api/v1/jobs/{project}/{job_id}", "GET /v/{token}", "GET /v/{token}/download"}:
            return True
        return place in {"table jobs", "table pictures", "table wrapd.db", "table wrapd.db-wal", "jobs --json"}
    if secret.startswith("token ") and place.startswith("GET /jobs/{project}/{job_id} as "):
        return True
    return secret.startswith("token ") and place in {"table links", "table wrapd.db", "table wrapd.db-wal"}
