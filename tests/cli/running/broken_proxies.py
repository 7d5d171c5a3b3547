"""Proxies for tests, each with one fault that proxies in front of bots have."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Headers = dict[str, str]


def _same(headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    return headers, body


def _as_told(headers: Headers) -> Headers:
    return headers


@dataclass(slots=True)
class Crooked:
    """The faults of a proxy.

    Attributes:
        upstream: The server that requests are passed to, such as `http://127.0.0.1:8000`.
        request, answer: Change the headers and body of a request, and the headers of a response.
        status: Answer every request with this status, without passing it on.
    """

    upstream: str
    request: Callable[[Headers, bytes], tuple[Headers, bytes]] = _same
    answer: Callable[[Headers], Headers] = _as_told
    status: int | None = None
    url: str = ""


@contextlib.contextmanager
def proxying(crooked: Crooked, *, tls: ssl.SSLContext | None = None) -> Iterator[Crooked]:
    """Serve the proxy on a free port. Its address is in `url`."""

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if crooked.status is not None:
                self._answer(crooked.status, {"location": "https://elsewhere.test/"}, b"")
                return
            headers, body = crooked.request(headers, body)
            headers["content-length"] = str(len(body))
            with httpx.Client(trust_env=False) as http:
                answer = http.request(self.command, crooked.upstream + self.path, content=body, headers=headers)
            self._answer(answer.status_code, crooked.answer(dict(answer.headers)), answer.content)

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815 - http.server's names

        def _answer(self, status: int, headers: Headers, body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name not in {"content-length", "transfer-encoding", "connection", "content-encoding"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(
            self, *_: object
        ) -> None: ...  # a client that does not accept the certificate closes the connection

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        crooked.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield crooked
        finally:
            server.shutdown()
            thread.join()
