"""Real nginx and real Caddy with the configurations of `deploy/`, each in its own folder and on free ports; and a bot behind one."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import trustme
from asgi_client import PATH
from crash import Served
from deploy.tools import DEPLOY, tool
from patience import PATIENCE_S, until
from ports import free_port
from served_bot import NOTES, noted, serving

DOMAIN = "localhost"
PAGE_DOMAIN = "ops.localhost"
GET = {"nginx": "apt-get install nginx; Debian has it in /usr/sbin", "caddy": "apt-get install caddy"}


class Proxy:
    """A running proxy.

    Attributes:
        port: Its TLS port.
        trust: A TLS context that trusts its certificate.
    """

    def __init__(self, name: str, port: int, trust: ssl.SSLContext) -> None:
        self.name = name
        self.port = port
        self.trust = trust

    @property
    def url(self) -> str:
        return f"https://{DOMAIN}:{self.port}"

    @property
    def page(self) -> str:
        """The address of the operator's page."""
        return f"https://{PAGE_DOMAIN}:{self.port}"

    def connect(self, sent: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
        """Open a raw TLS connection from an address of the loopback network, and send `sent`."""
        with ExitStack() as unless_sent:
            plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S, source_address=(source, 0))
            unless_sent.enter_context(plain)
            client = unless_sent.enter_context(self.trust.wrap_socket(plain, server_hostname=DOMAIN))
            client.sendall(sent)
            unless_sent.pop_all()
        return client


# Otherwise nginx's workers run as an unprivileged user, who may not write into the folder of a test that runs as root.
_AS_STARTED = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
_NGINX_KEEPS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(folder: Path, upstream: str, page: str = "127.0.0.1:9") -> Iterator[Proxy]:
    """Run nginx as on a separate machine, before a bot and its page. Only ports and paths differ from the files in `deploy/`."""
    program, port = tool("nginx", get=GET["nginx"]), free_port()
    folder.mkdir(exist_ok=True)
    authority = trustme.CA()
    certificate = authority.issue_cert(DOMAIN, PAGE_DOMAIN)
    certificate.private_key_pem.write_to_path(folder / "privkey.pem")
    for n, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(folder / "fullchain.pem", append=n > 0)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    values = {"UPSTREAM": upstream, "DOMAIN": DOMAIN, "CERTIFICATES": str(folder)}
    values |= {"PAGE_UPSTREAM": page, "PAGE_DOMAIN": PAGE_DOMAIN}
    for conf in ("linqbot.conf", "page.conf"):
        site = (DEPLOY / "nginx" / f"{conf}.template").read_text()
        for name, value in values.items():
            site = site.replace(f"${{BOT_{name}}}", value)
        site = re.sub(r"listen \[::\]:.*;\n", "", site).replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
        (folder / conf).write_text(site.replace("listen 443", f"listen 127.0.0.1:{port}"))
    whole = (DEPLOY / "nginx" / "nginx.conf").read_text()
    whole = whole.replace("/etc/nginx/conf.d/", f"{folder}/")
    whole = whole.replace("/var/run/nginx.pid", str(folder / "nginx.pid"))
    own = "".join(f"    {each}_temp_path {folder / each};\n" for each in _NGINX_KEEPS)
    (folder / "nginx.conf").write_text(whole.replace("http {\n", "http {\n" + own))
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", _AS_STARTED]
    with _running(command, folder, port):
        assert "[warn]" not in (folder / "proxy.log").read_text()  # of what the configuration says
        yield Proxy("nginx", port, ssl.create_default_context(cafile=folder / "authority.pem"))


@contextmanager
def caddy(folder: Path, upstream: str, page: str = "127.0.0.1:9") -> Iterator[Proxy]:
    """Run Caddy with the Caddyfile of `deploy/`, to which only options are added that isolate the test's Caddy."""
    program, port = tool("caddy", get=GET["caddy"]), free_port()
    folder.mkdir(exist_ok=True)
    shipped = (DEPLOY / "caddy" / "Caddyfile").read_text()
    own = f"{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {free_port()}\n"
    (folder / "Caddyfile").write_text(re.sub(r"^\{\n", own, shipped, count=1, flags=re.MULTILINE))
    (folder / "page.Caddyfile").write_text((DEPLOY / "caddy" / "page.Caddyfile").read_text())
    environ = {"BOT_DOMAIN": f"https://{DOMAIN}:{port}", "BOT_UPSTREAM": upstream}
    environ |= {"BOT_PAGE_DOMAIN": f"https://{PAGE_DOMAIN}:{port}", "BOT_PAGE_UPSTREAM": page}
    environ |= {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=True)
    if tuple(int(n) for n in re.findall(r"\d+", version.stdout)[:3]) < (2, 6, 3):
        environ["BOT_BUFFERING"] = "buffer_requests"  # what docs/deploy/proxy.md says for Debian's
    root = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    run = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with _running(run, folder, port, os.environ | environ):
        _until(lambda: root.exists() and "END CERTIFICATE" in root.read_text())
        trust = ssl.create_default_context(cafile=root)
        # The certificate of the site is made after that of the authority.
        _until(lambda: _has_certificate(port, trust))
        yield Proxy("caddy", port, trust)


PROXIES = {"nginx": nginx, "caddy": caddy}


@contextmanager
def _running(command: list[str], folder: Path, port: int, environ: dict[str, str] | None = None) -> Iterator[None]:
    log = folder / "proxy.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            _until(lambda: _takes_connections(port), lambda: process.poll() is None or log.read_text())
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _has_certificate(port: int, trust: ssl.SSLContext) -> bool:
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 30) as probe,
            trust.wrap_socket(probe, server_hostname=DOMAIN),
        ):
            return True
    except ssl.SSLError:
        return False


def _until(ready: Callable[[], bool], is_running: Callable[[], bool | str] = lambda: True) -> None:
    end = time.monotonic() + PATIENCE_S
    while not ready():
        assert is_running() is True, is_running()
        assert time.monotonic() < end, "The proxy did not come up in 30 s."
        time.sleep(0.02)


class Behind:
    """A running bot behind a proxy."""

    def __init__(self, proxy: Proxy, served: Served, folder: Path) -> None:
        self.proxy = proxy
        self.served = served
        self._folder = folder

    @property
    def webhook(self) -> str:
        return self.proxy.url + PATH

    def client(self, *, source: str = "127.0.0.1", http2: bool = False) -> httpx.AsyncClient:
        """Return a client that trusts the proxy's certificate, at an address of the loopback network."""
        transport = httpx.AsyncHTTPTransport(verify=self.proxy.trust, local_address=source, http2=http2)
        return httpx.AsyncClient(transport=transport, timeout=PATIENCE_S)

    async def handled(self, count: int) -> Counter[str]:
        """Wait until `count` messages reached the handler. Return their first words."""
        await until(lambda: len(noted(self._folder)) >= count, every_s=0.05)
        return Counter(word for _, word in noted(self._folder))

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (self._folder / "bot.log").read_text().splitlines()
        return [entry for line in lines if line.startswith("{") and (entry := json.loads(line))["event"] == event]


@asynccontextmanager
async def behind(name: str, folder: Path) -> AsyncIterator[Behind]:
    """Serve a bot with a proxy in front of it."""
    async with serving(folder, code=NOTES, LINQBOT_TRUSTED_PROXIES="127.0.0.1") as (served, _):
        with PROXIES[name](folder / name, served.url.removeprefix("http://")) as proxy:
            yield Behind(proxy, served, folder)
