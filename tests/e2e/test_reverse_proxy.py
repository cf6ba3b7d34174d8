"""docs/reverse-proxy.md with the real nginx and Caddy in front of a real daemon: pages, live events, links,
callbacks, the API under a path, and whose word about a client's address counts.
"""

import hashlib
import hmac
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import pytest

from daemon.cli import main
from tests.e2e.test_events_live import told
from tests.e2e.test_web_live import free_port
from tests.support.live import FAST, LiveDaemon, LiveSim, to
from tests.support.programs import need, run
from tests.support.proxies import PROXIES, TLS, Proxy, configs
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(180)]

TOKEN, KEY = "a-token-of-24-characters", "a-key-of-24-characters-!"
ELSEWHERE = "203.0.113.9"
"""An address that is nobody's."""
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
PERSON = {"User-Agent": "Mozilla/5.0 Firefox/140.0"}


def web(public: str) -> str:
    return f'[web]\nlisten = "127.0.0.1:{free_port()}"\npublic_url = "{public}"\ntoken = "{TOKEN}"\n'


@pytest.fixture(params=PROXIES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Scene:
    """A daemon, its simulator and webhook, and the proxy before it; `prefix` is the path of its address."""

    def __init__(self, sim: LiveSim, hook: Webhook, daemon: LiveDaemon, proxy: Proxy, prefix: str) -> None:
        self.sim, self.hook, self.daemon, self.proxy, self.prefix = sim, hook, daemon, proxy, prefix

    def job(self) -> str:
        [job] = self.sim.jobs(timeline=[("PROCESSING", None)])
        return job

    def link(self) -> str:
        """The path of wrapd's own link to a video that was just finished."""
        job = self.job()
        self.daemon.command("track", job)
        self.daemon.wait_for("job.moved", job=job)
        self.sim.do(lambda it: it.set_state(job, "SUCCEED"))
        self.daemon.wait_for("delivery.sent")
        [own] = [each.json["own_url"] for each in self.hook.requests if each.json["job_id"] == job]
        assert own.startswith(self.proxy.url + self.prefix + "/v/")
        return urlsplit(own).path


def scene(folder: Path, language: str, *, under: bool) -> Iterator[Scene]:
    name, prefix = ("media.example.com", "/wrapd") if under else ("wrapd.example.com", "")
    port = free_port()
    callback = f'callback = {{ auth = "mss_a", key = "{KEY}" }}'
    with LiveSim() as sim, Webhook() as hook:
        config = FAST + web(f"https://{name}:{port}{prefix}") + sim.project(more=callback) + to(hook)
        with LiveDaemon(folder, config) as daemon:
            text = configs(language)[under]
            with PROXIES[language](folder, text, daemon.address, port, name=name) as proxy:
                yield Scene(sim, hook, daemon, proxy, prefix)


@pytest.fixture
def own_name(tmp_path: Path, language: str) -> Iterator[Scene]:
    yield from scene(tmp_path, language, under=False)


@pytest.fixture
def under_a_path(tmp_path: Path, language: str) -> Iterator[Scene]:
    yield from scene(tmp_path, language, under=True)


def test_the_pages_with_a_login(own_name: Scene) -> None:
    proxy = own_name.proxy
    assert proxy.ask("GET", "/").status in (303, 401)
    entered = proxy.ask("POST", "/login", body=urlencode({"token": TOKEN}).encode(), headers=FORM)
    assert (entered.status, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert cookie.startswith("__Host-wrapd=")
    assert "secure" in cookie.lower()
    session = {"Cookie": cookie.partition(";")[0]}
    for path in ("/", "/jobs", "/account"):
        assert proxy.ask("GET", path, headers=session).status == 200, path
    old_browser = {**FORM, **session, "Origin": proxy.url}
    del old_browser["Sec-Fetch-Site"]
    page = proxy.ask("GET", "/account", headers=session).body.decode()
    [token, *_] = re.findall(r'name="csrf" value="([^"]+)"', page)
    left = proxy.ask("POST", "/logout", body=urlencode({"csrf": token}).encode(), headers=old_browser)
    assert (left.status, left.headers["location"]) == (303, "/login")
    assert own_name.daemon.command("web", "login").startswith(f"{proxy.url}/login?once=")


def test_live_events_arrive_at_once_while_the_stream_stays_open(own_name: Scene) -> None:
    _events_arrive(own_name)


def _events_arrive(it: Scene) -> None:
    with it.proxy.stream(f"{it.prefix}/api/v1/events", TOKEN) as stream:
        assert stream.status == 200
        for job in (it.job(), it.job()):
            it.daemon.command("track", job)
            committed = time.monotonic()
            seen = told(stream, "job")
            assert time.monotonic() - committed < 2
            while (seen["job_id"], seen["state"]) != (job, "PROCESSING"):
                seen = told(stream, "job")


def test_links_open_the_video(own_name: Scene) -> None:
    _links_open(own_name)


def _links_open(it: Scene) -> None:
    path = it.link()
    opened = it.proxy.ask("GET", path, headers=PERSON)
    assert opened.status == 302
    assert opened.headers["location"].startswith(it.sim.url)
    assert it.proxy.ask("GET", f"{path}/download", headers=PERSON).status == 302
    assert it.proxy.ask("GET", f"{it.prefix}/v/{'x' * 32}", headers=PERSON).status == 404


def test_callbacks_are_taken_with_their_signature(own_name: Scene) -> None:
    _callbacks_are_taken(own_name)


def _callbacks_are_taken(it: Scene) -> None:
    job = it.job()
    it.daemon.command("track", job)
    url = it.daemon.command("callback-url").splitlines()[0]
    assert url == f"{it.proxy.url}{it.prefix}/callbacks/main"
    stamp = f"{int(time.time() * 1000):x}"
    secret = hmac.new(KEY.encode(), f"{url}{stamp}".encode(), hashlib.sha256).hexdigest()
    query = urlencode({"secret": secret, "time_stamp": stamp})
    body = json.dumps({"result": "SUCCEED", "job_id": job}).encode()
    taken = it.proxy.ask("POST", f"{it.prefix}/callbacks/main?{query}", body=body)
    assert (taken.status, json.loads(taken.body)["watched"]) == (200, True)
    wrong = it.proxy.ask("POST", f"{it.prefix}/callbacks/main?{query.replace('secret=', 'secret=0')}", body=body)
    assert wrong.status == 401


def test_probes_are_not_for_the_outside(own_name: Scene) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert own_name.proxy.ask("GET", path).status == 404
        assert own_name.daemon.page(path)[0] == 200


def test_another_host_is_answered_only_for_links(own_name: Scene) -> None:
    path = own_name.link()
    host, port = own_name.daemon.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    for asked, status in (("/login", 421), (path, 302)):
        connection.request("GET", asked, headers={"Host": "evil.example.com", **PERSON})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_a_client_cannot_pass_itself_off_as_this_machine(tmp_path: Path, language: str) -> None:
    """A proxy that passes on /metrics: open to clients of this machine only, whatever others say."""
    text = configs(language)[0]
    opened = text.replace("return 404;", "proxy_pass http://127.0.0.1:8787;")
    opened = opened.replace("\trespond @inside 404\n", "")
    assert opened != text
    port, here = free_port(), address_of_this_machine()
    with LiveSim() as sim, LiveDaemon(tmp_path, FAST + web("https://wrapd.example.com") + sim.project()) as daemon:
        with PROXIES[language](tmp_path, opened, daemon.address, port, name="wrapd.example.com") as proxy:
            assert proxy.ask("GET", "/metrics").status == 200
            for said in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": "127.0.0.1, ::1"}):
                assert proxy.ask("GET", "/metrics", at=here, headers=said).status == 401, said
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            assert proxy.ask("GET", "/metrics", at=here, headers=bearer).status == 200


def test_only_a_proxy_on_this_machine_is_believed_or_one_that_is_named(tmp_path: Path) -> None:
    here = address_of_this_machine()
    config = FAST + '[web]\nlisten = "0.0.0.0:0"\n' + f'token = "{TOKEN}"\n'
    with LiveSim() as sim:
        with LiveDaemon(tmp_path, config + sim.project()) as daemon:
            port = int(daemon.address.rpartition(":")[2])
            assert metrics(port, "127.0.0.1") == 200
            assert metrics(port, "127.0.0.1", ELSEWHERE) == 401
            assert metrics(port, here) == 401
            assert metrics(port, here, "127.0.0.1") == 401
        named = {"FORWARDED_ALLOW_IPS": here}
        with LiveDaemon(tmp_path, config + sim.project(), environ=named) as daemon:
            port = int(daemon.address.rpartition(":")[2])
            assert metrics(port, here, "127.0.0.1") == 200
            assert metrics(port, here, ELSEWHERE) == 401
            assert metrics(port, "127.0.0.1", ELSEWHERE) == 200


def metrics(port: int, at: str, forwarded: str = "") -> int:
    """The status of /metrics for a client at an address of this machine that sends X-Forwarded-For."""
    connection = http.client.HTTPConnection(at, port, timeout=30, source_address=(at, 0))
    try:
        connection.request("GET", "/metrics", headers={"X-Forwarded-For": forwarded} if forwarded else {})
        return connection.getresponse().status
    finally:
        connection.close()


def address_of_this_machine() -> str:
    """One that is not loopback."""
    shown = json.loads(run(need("ip", package="iproute2"), "-json", "-4", "address").stdout)
    found = [each["local"] for link in shown for each in link["addr_info"] if each["scope"] == "global"]
    if not found:
        pytest.skip("needs an address besides loopback")
    socket.inet_aton(found[0])
    return str(found[0])


def test_under_a_path_links_callbacks_and_the_api_work(under_a_path: Scene) -> None:
    _links_open(under_a_path)
    _callbacks_are_taken(under_a_path)
    _events_arrive(under_a_path)
    token = {"Authorization": f"Bearer {TOKEN}"}
    found = under_a_path.proxy.ask("GET", "/wrapd/api/v1/jobs?limit=1", headers=token)
    assert (found.status, len(json.loads(found.body)["items"])) == (200, 1)


def test_under_a_path_the_page_of_a_link_that_no_longer_works_has_its_style(under_a_path: Scene) -> None:
    for path in ("/wrapd/v/" + "a" * 32, "/wrapd/v/" + "a" * 32 + "/download"):
        page = under_a_path.proxy.ask("GET", path)
        assert page.status == 404
        [style] = re.findall(r'stylesheet" href="([^"]+)"', page.body.decode())
        assert under_a_path.proxy.ask("GET", urljoin(path, style)).status == 200


def test_under_a_path_there_are_no_pages(under_a_path: Scene) -> None:
    for path in ("/wrapd/", "/wrapd/login", "/wrapd/metrics"):
        assert under_a_path.proxy.ask("GET", path).status == 404, path
    address = f"http://{under_a_path.daemon.address}/login?once="
    assert under_a_path.daemon.command("web", "login").startswith(address)


def test_watch_works_through_the_proxy_under_a_path(
    under_a_path: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = under_a_path.job()
    under_a_path.daemon.command("track", job)
    under_a_path.daemon.wait_for("job.moved", job=job)
    token = under_a_path.daemon.folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))
    monkeypatch.setenv("NO_PROXY", "*")
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *others, **more: resolve("127.0.0.1", *others, **more))
    server = f"{under_a_path.proxy.url}/wrapd"
    assert main(["watch", job, "--once", "--server", server, "--token-file", str(token)]) == 124
    assert "PROCESSING" in capsys.readouterr().out
