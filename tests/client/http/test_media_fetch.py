"""Media is fetched from allowed addresses only: a canary listens on the address that a failing check would reach."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Any, TypeAlias

import pytest
import trustme
from client.http.test_media_addresses import CLOSED, REFUSED
from client.raw_server import Peer, Raw, certified, running, said
from patience import PATIENCE_S

from linqbot import Fetched, LinqbotError, MediaPart
from linqbot.client.http import media_fetch as guarded
from linqbot.client.http.addresses import PORTS
from linqbot.client.http.media_fetch import Fetcher
from linqbot.errors import FetchFailed, FetchRefused

PUBLIC = "93.184.216.34"
SIGNED = "/attachments/photo.jpg?signature=do-not-quote"

HOSTS = ["localhost", "localhost.", "LOCALHOST", *(f"[{each}]" if ":" in each else each for each in CLOSED)]
"""Hosts that no message may lead us to. Further ones are in the URLs of `REFUSED`."""
ANSWERS = [
    *(["127.0.0.1"], ["0.0.0.0"], ["::1"], ["::"], ["10.1.2.3"], ["169.254.169.254"], ["100.64.0.1"], ["fe80::1%lo"]),
    *(["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"], ["fd00::1"], ["224.0.0.251"], ["not an address"]),
    *([PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"], ["2606:4700::1111", "fd00::1"]),
]
"""What a hostile name server may answer."""


Answers: TypeAlias = dict[str, bytes | list[bytes | float]]
"""Scripted bytes for each path. A float is a pause, which ends when the client disconnects."""


class Server(Raw):
    """A server with scripted answers. It records the requests."""

    def __init__(self, answers: Answers) -> None:
        super().__init__(self.respond)
        self.answers = answers
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def respond(self, peer: Peer) -> None:
        head, _ = await peer.request()
        first, *fields = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        self.requests.append((method, path, dict(line.split(": ", 1) for line in fields)))
        answer = self.answers.get(path.partition("?")[0], said(b"", "404 Not Found"))
        for piece in answer if isinstance(answer, list) else [answer]:
            if isinstance(piece, bytes):
                await peer.say(piece)
            else:
                await asyncio.wait_for(peer.reader.read(), piece)


def ok(content: bytes, *headers: str) -> bytes:
    return said(content, "200 OK", *headers)


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def to(location: str, status: int = 302) -> bytes:
    return said(b"", f"{status} Moved", f"Location: {location}")


def serving(answers: Answers, tls: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[Server]:
    return running(Server(answers), tls)


async def by_name(name: str) -> Sequence[str]:
    """Resolve the names of the tests over TLS."""
    if name == "inside.example":
        return ["127.0.0.1", "10.0.0.1"]
    if name in ("cdn.example", "files.example", "localhost"):
        return ["127.0.0.1"]
    raise OSError(f"no such name: {name}")


async def anywhere(_: str) -> Sequence[str]:
    """Resolve every name to 127.0.0.1, as the system's resolver does for many of the forms above."""
    return ["127.0.0.1"]


@pytest.fixture
async def canary(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A server on the local machine at the port of https. A test fails if a client connects."""
    async with serving({}) as server:
        monkeypatch.setitem(PORTS, "https", server.port)
        yield server
    await asyncio.sleep(0)


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every address that a socket is asked to connect to; only the local machine is really connected."""
    seen: list[str] = []
    loop = asyncio.SelectorEventLoop
    connect = loop.sock_connect

    async def watched(self: Any, sock: Any, address: Any) -> None:
        seen.append(address[0])
        if not address[0].startswith("127."):
            raise ConnectionRefusedError("the test ends here")
        await connect(self, sock, address)

    monkeypatch.setattr(loop, "sock_connect", watched)
    return seen


async def test_no_hostile_host_gets_a_connection(canary: Server, dialled: list[str], subtests: pytest.Subtests) -> None:
    fetcher = Fetcher("https://api.example", resolve=anywhere)
    places = [f"{host}{port}/x" for host in HOSTS for port in ("", f":{canary.port}", ":22")]
    for url in [*REFUSED, *(f"https://{place}" for place in places), *(f"http://{host}/x" for host in HOSTS)]:
        with subtests.test(url=url):
            with pytest.raises(FetchRefused):
                await fetcher.fetch(url)
            assert (dialled, canary.peers) == ([], [])


async def test_a_name_with_one_address_that_is_not_public_gets_no_connection(
    canary: Server, dialled: list[str], subtests: pytest.Subtests
) -> None:
    async def hostile(_: str) -> Sequence[str]:
        return answer

    for answer in ANSWERS:
        with subtests.test(answer=answer):
            fetcher = Fetcher("https://api.example", resolve=hostile)
            with pytest.raises(FetchRefused, match=r"evil\.example.* not public"):
                await fetcher.fetch("https://evil.example/x")
            assert (dialled, len(canary.peers)) == ([], 0)


async def test_a_name_that_is_rebound_after_its_check_is_not_asked_again(canary: Server, dialled: list[str]) -> None:
    asked: list[str] = []

    async def rebinding(name: str) -> Sequence[str]:
        asked.append(name)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    with pytest.raises(FetchFailed):
        await Fetcher("https://api.example", resolve=rebinding).fetch("https://evil.example/x")
    assert (asked, dialled, len(canary.peers)) == (["evil.example"], [PUBLIC], 0)


async def test_a_redirect_out_of_the_web_is_refused(subtests: pytest.Subtests) -> None:
    rows: list[str] = ["file:///etc/passwd", "ftp://cdn.example/x", "data:,x", "//", "http:///x", "https://a:b@c/"]
    for location in rows:
        with subtests.test(location=location):
            async with serving({"/x": to(location)}) as own:
                with pytest.raises(FetchRefused, match="redirects"):
                    await Fetcher(own.url).fetch(f"{own.url}/x")


async def test_redirects_within_our_own_origin_are_followed_five_times_and_no_further() -> None:
    answers: Answers = {"/5": ok(b"here"), "/round": to("/round"), "/lost": b"HTTP/1.1 302 F\r\n\r\n"}
    answers |= {f"/{n}": to(f"{n + 1}", status) for n, status in enumerate((301, 302, 303, 307, 308))}
    async with serving(answers) as own:
        fetcher = Fetcher(own.url)
        assert (await fetcher.fetch(f"{own.url}/0")).content == b"here"
        own.requests.clear()
        with pytest.raises(FetchRefused, match="more than 5 times"):
            await fetcher.fetch(f"{own.url}/round")
        assert len(own.requests) == 6
        with pytest.raises(FetchFailed, match="without a Location"):
            await fetcher.fetch(f"{own.url}/lost")


# The client's own origin, such as the emulator's


async def test_a_fetch_that_is_cancelled_while_its_file_is_opened_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens, may_open, real_open = threading.Event(), threading.Event(), Path.open

    def slowly(path: Path, mode: str) -> IO[Any]:
        opens.set()
        assert may_open.wait(PATIENCE_S)
        return real_open(path, mode)

    monkeypatch.setattr(Path, "open", slowly)
    async with serving({"/attachments/photo.jpg": ok(b"photo")}) as own:
        fetcher = Fetcher(f"{own.url}/api/partner")
        fetching = asyncio.create_task(fetcher.fetch_to(own.url + SIGNED, tmp_path / "photo"))
        await asyncio.to_thread(opens.wait, 5)
        fetching.cancel()
        await asyncio.sleep(0)
        may_open.set()
        with pytest.raises(asyncio.CancelledError):
            await fetching
    assert files_in(tmp_path) == []


async def test_media_of_our_own_origin_is_fetched_although_it_is_local_and_plain_http(tmp_path: Path) -> None:
    async with serving({"/attachments/photo.jpg": ok(b"\xff\xd8photo", "Content-Type: Image/JPEG; q=1")}) as own:
        fetcher = Fetcher(f"{own.url}/api/partner")
        part = MediaPart(url=own.url + SIGNED, filename="IMG 1.jpg", mime_type="image/jpeg")
        assert await fetcher.fetch(part) == Fetched(b"\xff\xd8photo", "image/jpeg", "IMG 1.jpg")
        by_name = await fetcher.fetch(f"http://localhost:{own.port}{SIGNED}")
        assert (by_name.content, by_name.filename) == (b"\xff\xd8photo", None)
        saved = await fetcher.fetch_to(part, tmp_path / "photo")
    assert saved.path.read_bytes() == b"\xff\xd8photo"
    assert (saved.size_bytes, saved.mime_type, saved.filename) == (7, "image/jpeg", "IMG 1.jpg")
    assert files_in(tmp_path) == ["photo"]
    method, path, headers = own.requests[0]
    assert (method, path) == ("GET", SIGNED)
    assert set(headers) == {"Host", "Accept", "Accept-Encoding", "User-Agent", "Connection"}
    assert headers["Accept-Encoding"] == "identity"


async def test_a_filename_is_a_bare_name(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str | None]] = [
        ('attachment; filename="photo.jpg"', "photo.jpg"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\boot.ini"', "boot.ini"),
        ("attachment; filename*=utf-8''na%C3%AFve%0A%1B[31m.jpg", "naïve[31m.jpg"),
        ('attachment; filename=".."', None),
        ("attachment; filename*=utf-8''photo%E2%80%AEgpj%E2%80%AC.exe", "photogpj.exe"),
        ("attachment; filename*=utf-8''%E2%81%A6a%E2%81%A9%E2%80%8E%E2%80%8F%D8%9Cb.txt", "ab.txt"),
        (f'attachment; filename="{"a" * 300}"', "a" * 255),
        (f'attachment; x="{"a" * 3000}"; filename="b"', None),
        ("attachment; filename*=idna''caf%C3%A9.jpg", None),
        ("attachment; filename*=none''a.jpg", "a.jpg"),
        ("attachment; filename*=utf-7''a%2B2AA-.jpg", "a.jpg"),
        ("attachment; filename*=utf-8''a%E2%80%A8b.jpg", "ab.jpg"),
        ("attachment; filename*=a.jpg; filename*0=b.jpg", None if sys.version_info < (3, 14) else "b.jpg"),
        ("attachment", None),
        ("; ; =", None),
    ]
    for disposition, filename in rows:
        with subtests.test(disposition=disposition):
            async with serving({"/x": ok(b"", f"Content-Disposition: {disposition}")}) as own:
                assert (await Fetcher(own.url).fetch(f"{own.url}/x")).filename == filename


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"
SLOW = r"too slow: no complete response within 0\.1 s"
MEGABYTE = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"


async def test_a_file_too_large_or_slow_is_given_up_while_it_comes(tmp_path: Path, subtests: pytest.Subtests) -> None:
    too_large, too_slow = {"max_bytes": 2_000_000}, {"timeout_s": 0.1}
    rows: list[tuple[str, bytes | list[bytes | float], dict[str, Any]]] = [
        ("declared", b"HTTP/1.1 200 OK\r\nContent-Length: 2000001\r\n\r\n", too_large),
        ("chunked", [CHUNKED, *[MEGABYTE] * 64, b"0\r\n\r\n"], too_large),
        ("undeclared", [ENDLESS, *[b"x" * (1 << 20)] * 64], too_large),
        ("silent", [30.0], too_slow),
        ("half a head", [b"HTTP/1.1 200", 30.0], too_slow),
        ("half a body", [ENDLESS, b"x", 30.0], too_slow),
        ("half its chunks", [CHUNKED, b"1\r\nx\r\n", 30.0], too_slow),
    ]
    for name, answer, limit in rows:
        kind, words = (FetchRefused, "larger than 2000000 bytes") if limit is too_large else (FetchFailed, SLOW)
        with subtests.test(name=name):
            async with serving({"/x": answer}) as own:
                with pytest.raises(kind, match=words):
                    await Fetcher(own.url).fetch(f"{own.url}/x", **limit)
                with pytest.raises(kind, match=words):
                    await Fetcher(own.url).fetch_to(f"{own.url}/x", tmp_path / "x", **limit)
            assert files_in(tmp_path) == []


async def test_a_compressed_answer_is_refused_and_never_unpacked() -> None:
    bomb = ok(gzip.compress(bytes(32 << 20)), "Content-Encoding: gzip")
    async with serving({"/x": bomb, "/y": ok(b"plain", "Content-Encoding: identity")}) as own:
        with pytest.raises(FetchRefused, match="compressed"):
            await Fetcher(own.url).fetch(f"{own.url}/x")
        assert (await Fetcher(own.url).fetch(f"{own.url}/y")).content == b"plain"


async def test_one_limit_of_time_spans_the_look_up_and_all_redirects() -> None:
    async def slow(_: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(FetchFailed, match="too slow"):
        await Fetcher("https://api.example", resolve=slow).fetch("https://cdn.example/x", timeout_s=0.05)
    async with serving({"/x": [to("/y")], "/y": [to("/x"), 0.01]}) as own:
        with pytest.raises(FetchRefused, match="more than 5 times"):
            await Fetcher(own.url).fetch(f"{own.url}/x", timeout_s=PATIENCE_S)


async def test_a_failed_fetch_says_where_and_why_and_never_quotes_the_signed_url(subtests: pytest.Subtests) -> None:
    rows: list[tuple[bytes, str, int | None]] = [
        (said(b"", "403 Forbidden"), "responded with 403.*may have expired", 403),
        (said(b"", "404 Not Found"), "responded with 404.*may have expired", 404),
        (said(b"", "500 Oh"), r"responded with 500\.$", 500),
        (b"HTTP/1.1 304 Same\r\n\r\n", "responded with 304", 304),
        (b"", "no complete response", None),
        (b"HELLO\r\n\r\n", "no complete response", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "no complete response", None),
        (CHUNKED + b"ffffffffffffffffffffff\r\nx", "no complete response", None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", "no complete response", None),
    ]
    for answer, says, status in rows:
        with subtests.test(answer=answer[:60], says=says):
            async with serving({"/attachments/photo.jpg": answer}) as own:
                with pytest.raises(FetchFailed, match=says) as failed:
                    await Fetcher(own.url).fetch(own.url + SIGNED)
            assert failed.value.status == status
            shown = "".join(traceback.format_exception(failed.value))
            assert own.url in str(failed.value)
            assert "photo" not in shown
            assert "do-not-quote" not in shown


class Recovering(Server):
    """A server whose first connections get one answer, and the later ones another."""

    def __init__(self, first: bytes, then: bytes, *, failures: int = 1) -> None:
        super().__init__({"/x": first})
        self._then, self._failures = then, failures

    async def respond(self, peer: Peer) -> None:
        if peer.number == self._failures:
            self.answers = {"/x": self._then}
        await super().respond(peer)


class Pauses(list[int]):
    """Records the pauses instead of making them."""

    async def __call__(self, attempt: int) -> None:
        self.append(attempt)


async def test_a_fetch_that_fails_for_now_is_repeated_from_its_start(tmp_path: Path, subtests: pytest.Subtests) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    for failure in (b"", said(b"", "503 Slow Down"), said(b"", "429 Too Many"), half):
        with subtests.test(failure=failure):
            pauses = Pauses()
            async with running(Recovering(failure, ok(b"whole", "Content-Type: image/png"), failures=2)) as own:
                fetched = await Fetcher(own.url, max_retries=2, pause=pauses).fetch(f"{own.url}/x")
                assert (fetched.content, fetched.mime_type, pauses) == (b"whole", "image/png", [0, 1])
            async with running(Recovering(failure, ok(b"whole"))) as own:
                saved = await Fetcher(own.url, max_retries=2, pause=pauses).fetch_to(f"{own.url}/x", tmp_path / "x")
                assert (saved.size_bytes, saved.path.read_bytes()) == (5, b"whole")
            assert files_in(tmp_path) == ["x"]
            saved.path.unlink()


async def test_a_fetch_is_given_up_after_repetitions_or_at_once_if_they_are_useless(subtests: pytest.Subtests) -> None:
    may_pass = said(b"", "502 Bad Gateway")
    stay = [said(b"", status) for status in ("403 Forbidden", "404 Not Found", "501 No")]
    for answer in (may_pass, *stay, ok(b"x" * 11), to("http://127.0.0.1:1/")):
        with subtests.test(answer=answer):
            pauses, times = Pauses(), 3 if answer is may_pass else 1
            async with serving({"/x": answer}) as own:
                with pytest.raises((FetchFailed, FetchRefused)):
                    await Fetcher(own.url, max_retries=2, pause=pauses).fetch(f"{own.url}/x", max_bytes=10)
            assert (len(own.peers), len(pauses)) == (times, times - 1)


async def test_a_part_without_a_url_and_a_name_without_an_address_have_different_errors() -> None:
    fetcher = Fetcher("https://api.example", resolve=by_name)
    with pytest.raises(FetchRefused, match="has no URL"):
        await fetcher.fetch(MediaPart(attachment_id="a"))
    with pytest.raises(FetchFailed, match=r"https://nowhere\.example has no address"):
        await fetcher.fetch("https://nowhere.example/x")
    assert issubclass(FetchRefused, LinqbotError)
    assert (FetchRefused.lqb, FetchFailed.lqb) == ("LQB3101", "LQB3102")


# Other origins, over TLS


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return certified(authority, "cdn.example", "files.example")


@pytest.fixture
async def cdn(monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext) -> AsyncIterator[Server]:
    """A server that counts as public: in these tests, 127.0.0.1 counts as a public address."""
    async with serving({}, tls) as server:
        monkeypatch.setitem(PORTS, "https", server.port)
        monkeypatch.setattr(guarded, "is_public", lambda address: address == "127.0.0.1")
        yield server


async def test_a_stranger_gets_a_plain_request_by_its_name_with_nothing_of_ours_in_it(cdn: Server) -> None:
    cdn.answers["/attachments/photo.jpg"] = ok(b"photo", "Set-Cookie: id=1; Secure")
    fetcher = Fetcher("https://api.example", resolve=by_name)
    for _ in range(2):
        assert (await fetcher.fetch(f"https://cdn.example{SIGNED}")).content == b"photo"
    for _, path, headers in cdn.requests:
        assert path == SIGNED
        wanted = {"Host": "cdn.example", "Connection": "close", "Accept": "*/*", "Accept-Encoding": "identity"}
        assert headers == {**wanted, "User-Agent": "linqbot"}


async def test_each_stop_of_a_redirect_is_looked_up_and_checked_as_the_first(cdn: Server, dialled: list[str]) -> None:
    cdn.answers |= {"/x": to("https://files.example/y?signature=2"), "/y": ok(b"moved")}
    cdn.answers |= {"/in": to("https://inside.example/"), "/plain": to("http://files.example/y")}
    fetcher = Fetcher("https://api.example", resolve=by_name)
    assert (await fetcher.fetch("https://cdn.example/x")).content == b"moved"
    hosts = [headers["Host"] for _, _, headers in cdn.requests]
    assert hosts == ["cdn.example", "files.example"]
    with pytest.raises(FetchRefused, match=r"https://inside\.example .* not public"):
        await fetcher.fetch("https://cdn.example/in")
    with pytest.raises(FetchRefused, match="from https to plain http"):
        await fetcher.fetch("https://cdn.example/plain")
    assert dialled == ["127.0.0.1"] * 4


async def test_a_stranger_cannot_send_us_to_our_own_origin(cdn: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving({"/emulator/state": ok(b"secret")}) as canary:
        own = f"https://localhost:{canary.port}"
        cdn.answers["/x"] = to(f"{own}/emulator/state")
        fetcher = Fetcher(own, resolve=by_name)
        with pytest.raises(FetchRefused):
            await fetcher.fetch("https://cdn.example/x")
    assert len(canary.peers) == 0


async def test_a_stranger_to_whom_our_own_origin_sent_us_cannot_send_us_back(cdn: Server, tls: ssl.SSLContext) -> None:
    answers: Answers = {"/photo": to("https://cdn.example/photo"), "/emulator/state": ok(b"secret")}
    async with serving(answers, tls) as own:
        origin = f"https://files.example:{own.port}"
        fetcher = Fetcher(origin, resolve=by_name)
        cdn.answers["/photo"] = ok(b"photo")
        assert (await fetcher.fetch(f"{origin}/photo")).content == b"photo"
        cdn.answers["/photo"] = to(f"{origin}/emulator/state")
        with pytest.raises(FetchRefused, match="only https on port 443"):
            await fetcher.fetch(f"{origin}/photo")
    assert [path for _, path, _ in own.requests] == ["/photo", "/photo"]


async def test_the_environments_proxy_is_not_asked(cdn: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving({}) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        cdn.answers["/x"] = ok(b"x")
        fetcher = Fetcher("https://api.example", resolve=by_name)
        assert (await fetcher.fetch("https://cdn.example/x")).content == b"x"
    assert len(proxy.peers) == 0


# IPv6


async def test_a_public_ipv6_address_is_connected_to(dialled: list[str]) -> None:
    with pytest.raises(FetchFailed, match=r"https://\[2606:4700:4700::1111\] sent no complete response"):
        await Fetcher("https://api.example").fetch("https://[2606:4700:4700::1111]/x?signature=1")
    assert dialled == ["2606:4700:4700::1111"]


async def test_nothing_is_logged_that_is_in_the_url(cdn: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cdn.answers |= {"/x": to("https://files.example/y?signature=2"), "/y": ok(b"moved")}
    await Fetcher("https://api.example", resolve=by_name).fetch("https://cdn.example/x?signature=1")
    assert "signature" not in caplog.text
