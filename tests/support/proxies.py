"""nginx and Caddy as docs/reverse-proxy.md configures them, before a daemon, with a certificate of the tests."""

import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.docs_blocks import blocks
from tests.support.programs import ROOT, need

TLS = ROOT / "tests" / "data" / "tls"
UPSTREAM = "127.0.0.1:8787"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A received answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Site(http.client.HTTPSConnection):
    """A connection to a name that the proxy at this port of this machine serves, from one of its addresses."""

    def __init__(self, name: str, port: int, *, at: str = "127.0.0.1") -> None:
        self._context = ssl.create_default_context(cafile=str(TLS / "services-ca.pem"))
        super().__init__(name, port, context=self._context, timeout=30)
        self._at = at

    def connect(self) -> None:
        plain = socket.create_connection((self._at, self.port), timeout=30)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy. `name` is the site's, `port` where it listens."""

    name: str
    port: int

    @property
    def url(self) -> str:
        return f"https://{self.name}:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        at: str = "127.0.0.1",
    ) -> Answer:
        connection = Site(self.name, self.port, at=at)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            told = connection.getresponse()
            named = {name.lower(): value for name, value in told.getheaders()}
            return Answer(status=told.status, headers=named, body=told.read())
        finally:
            connection.close()

    @contextmanager
    def stream(self, path: str, token: str) -> Iterator[http.client.HTTPResponse]:
        """An open stream of live events."""
        connection = Site(self.name, self.port)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            yield connection.getresponse()
        finally:
            connection.close()


def configs(language: str) -> tuple[str, str]:
    """The page's config of a host name of its own, and that of a path."""
    whole, under = (each.text for each in blocks(language) if each.page == "docs/reverse-proxy.md")
    return whole, under


@contextmanager
def nginx(folder: Path, config: str, upstream: str, port: int, *, name: str) -> Iterator[Proxy]:
    if not config.startswith("server"):  # a place within the server of another site
        config = f"""server {{
            listen 443 ssl;
            server_name {name};
            ssl_certificate /etc/ssl/wrapd/fullchain.pem;
            ssl_certificate_key /etc/ssl/wrapd/privkey.pem;
            {config}
        }}"""
    site = _fitted(config, upstream).replace("listen 443 ssl;", f"listen {port} ssl;")
    scratch = "".join(
        f"{each}_temp_path {folder}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\n{scratch}access_log {folder}/access.log;\n{site}\n}}\n"
    )
    command = [need("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(path)]
    with _running([*command, "-t"], command, port):
        yield Proxy(name, port)


@contextmanager
def caddy(folder: Path, config: str, upstream: str, port: int, *, name: str) -> Iterator[Proxy]:
    tls = f"\ttls {TLS}/services.pem {TLS}/services.key\n"
    site = _fitted(config, upstream).replace(f"{name} {{\n", f"https://{name}:{port} {{\n{tls}", 1)
    path = folder / "Caddyfile"
    path.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tgrace_period 1s\n}}\n{site}")
    program, given = need("caddy"), ["--config", str(path), "--adapter", "caddyfile"]
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with _running([program, "validate", *given], [program, "run", *given], port, environ=home):
        yield Proxy(name, port)


PROXIES: Mapping[str, Any] = {"nginx": nginx, "caddyfile": caddy}
"""What serves each language of blocks."""


def _fitted(config: str, upstream: str) -> str:
    assert UPSTREAM in config
    fitted = config.replace(UPSTREAM, upstream)
    return fitted.replace("/etc/ssl/wrapd/fullchain.pem", str(TLS / "services.pem")).replace(
        "/etc/ssl/wrapd/privkey.pem", str(TLS / "services.key")
    )


@contextmanager
def _running(
    check: list[str], command: list[str], port: int, *, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    checked = subprocess.run(check, capture_output=True, text=True, check=False, env=environ, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environ)
    try:
        _wait_for(process, port)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _wait_for(process: "subprocess.Popen[str]", port: int) -> None:
    """Wait until something listens at the port."""
    begun = time.monotonic()
    while time.monotonic() - begun < 30:
        assert process.poll() is None, process.communicate()[1]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("it does not listen")
