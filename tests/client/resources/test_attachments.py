"""Uploads: announced to Linq, then PUT in chunks to the upload URL with exactly the required headers."""

from __future__ import annotations

import io
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from client.http11_peers import CHAT, KEY, Server, Waits, client_at, plain, served
from client.raw_server import certified

from linqbot import Client, LinqApiError, LinqUnavailable, RuleBroken
from linqbot.client.http import media_fetch
from linqbot.client.http.addresses import PORTS
from linqbot.client.resources.attachments import CHUNK_BYTES
from linqbot.linq.types.files import content_type_of

PAGE = b"<!DOCTYPE html><title>Please log in</title>"
PHOTO = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"end"


@pytest.fixture
async def bucket(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A server at https://uploads.example, the only name that is known here. 127.0.0.1 counts as a public address."""
    for name in ("https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def known(host: str, *_: object, **__: object) -> list[Any]:
        if host != "uploads.example":
            raise OSError(f"no such name: {host}")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))]

    async with served(certified(authority, "uploads.example")) as server:
        monkeypatch.setitem(PORTS, "https", server.port)
        monkeypatch.setattr(media_fetch, "is_public", lambda address: address == "127.0.0.1")
        monkeypatch.setattr(socket, "getaddrinfo", known)
        server.answers = [plain(200)]
        yield server


def announced(at: int | str, content: bytes, kind: str = "image/jpeg", **headers: str) -> bytes:
    """Return Linq's answer to an announced upload, which goes to a port of this machine or to a URL."""
    body = {
        "attachment_id": CHAT,
        "upload_url": at if isinstance(at, str) else f"http://127.0.0.1:{at}/put?X-Amz-Signature=a%2Bb",
        "download_url": "https://cdn.linqapp.com/x",
        "http_method": "PUT",
        "required_headers": {"Content-Type": kind, "Content-Length": str(len(content)), **headers},
        "expires_at": "2026-11-05T17:45:00.120Z",
    }
    return plain(201, body)


async def test_a_file_goes_out_as_it_is_with_the_required_headers_and_without_the_key(tmp_path: Path) -> None:
    path = tmp_path / "menu.jpg"
    path.write_bytes(PHOTO)
    reported: list[tuple[int, int]] = []
    async with served() as server, client_at(server.port) as client:
        server.answers = [announced(server.port, PHOTO, **{"x-amz-acl": "private"}), plain(200)]
        upload = await client.attachments.upload(path, progress=lambda sent, total: reported.append((sent, total)))

    assert upload.attachment_id == CHAT
    assert server.bodies[0] == b'{"content_type":"image/jpeg","filename":"menu.jpg","size_bytes":%d}' % len(PHOTO)
    assert server.heads[1].startswith("PUT /put?X-Amz-Signature=a%2Bb HTTP/1.1")
    assert server.bodies[1] == PHOTO
    assert server.header("content-length") == str(len(PHOTO))
    assert server.heads[1].lower().count("content-length") == 1
    assert server.header("content-type") == "image/jpeg"
    assert server.header("x-amz-acl") == "private"
    assert server.header("authorization") is None
    assert server.header("transfer-encoding") is None
    assert KEY not in server.heads[1]
    assert reported == [(CHUNK_BYTES, len(PHOTO)), (2 * CHUNK_BYTES, len(PHOTO)), (len(PHOTO), len(PHOTO))]


async def test_an_upload_to_another_host_goes_over_tls_to_a_checked_address_without_the_key(bucket: Server) -> None:
    async with served() as linq, client_at(linq.port) as client:
        linq.answers = [announced("https://uploads.example/put?X-Amz-Signature=a%2Bb", b"abc")]
        await client.attachments.upload(b"abc", filename="a.jpg")
        assert (len(linq.heads), len(bucket.heads)) == (1, 1)
    assert bucket.heads[0].startswith("PUT /put?X-Amz-Signature=a%2Bb HTTP/1.1")
    assert bucket.bodies == [b"abc"]
    assert bucket.header("authorization") is None
    assert KEY not in bucket.heads[0]


@pytest.mark.parametrize("url", ["https://uploads.example/put", "https://127.0.0.1/put"])
async def test_an_upload_goes_to_no_private_address(bucket: Server, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(media_fetch, "is_public", lambda _: False)
    async with served() as linq, client_at(linq.port) as client:
        linq.answers = [announced(url, b"abc")]
        with pytest.raises(LinqApiError, match="not public") as caught:
            await client.attachments.upload(b"abc", filename="a.jpg")
    assert not isinstance(caught.value, LinqUnavailable)
    assert bucket.peers == []


async def test_an_upload_to_a_host_that_has_no_address_now_is_repeated_and_then_called_an_outage(
    bucket: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, looked_up = socket.getaddrinfo, list[str]()

    def away(host: str, *more: Any, **options: Any) -> list[Any]:
        looked_up.append(host)
        if len(looked_up) < 3:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return known(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", away)
    async with served() as linq, client_at(linq.port, max_retries=1) as client:
        linq.answers = [announced("https://uploads.example/put", b"abc")] * 2
        with pytest.raises(LinqUnavailable, match=r"uploads\.example has no address") as caught:
            await client.attachments.upload(b"abc", filename="a.jpg")
        assert caught.value.is_unsent
        await client.attachments.upload(b"abc", filename="a.jpg")
    assert looked_up == ["uploads.example"] * 3
    assert bucket.bodies == [b"abc"]


async def uploaded(file: Any, **options: Any) -> tuple[Server, bytes]:
    async with served() as server, client_at(server.port) as client:
        server.answers = [announced(server.port, b"abc", "text/plain"), plain(200)]
        await client.attachments.upload(file, **options)
    return server, server.bodies[1]


async def test_bytes_and_open_files_from_where_they_stand_are_files_too(tmp_path: Path) -> None:
    server, body = await uploaded(b"abc", filename="a.txt")
    assert (body, b'"filename":"a.txt"' in server.bodies[0]) == (b"abc", True)
    file = io.BytesIO(b"--abc")
    file.seek(2)
    assert (await uploaded(file, filename="a.txt"))[1] == b"abc"
    path = tmp_path / "notes.bin"
    path.write_bytes(b"abc")
    with path.open("rb") as opened:
        server, body = await uploaded(opened, content_type="text/plain")
    assert (body, b'"filename":"notes.bin"' in server.bodies[0]) == (b"abc", True)
    assert (await uploaded(str(path), content_type="text/plain"))[1] == b"abc"


async def test_a_lost_upload_is_repeated_from_its_beginning() -> None:
    reported: list[int] = []
    async with served() as server, client_at(server.port) as client:
        server.answers = [announced(server.port, PHOTO), None, plain(503), plain(200)]
        await client.attachments.upload(PHOTO, filename="a.jpg", progress=lambda sent, _: reported.append(sent))
    assert server.bodies[1:] == [PHOTO, PHOTO, PHOTO]
    assert reported.count(CHUNK_BYTES) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [(plain(403, b"<Error>SignatureDoesNotMatch</Error>"), LinqApiError, 403), (plain(500), LinqUnavailable, 500)],
)
async def test_an_upload_that_is_refused_is_ours_to_name(answer: bytes, kind: type, status: int) -> None:
    async with served() as server, client_at(server.port, max_retries=0) as client:
        server.answers = [announced(server.port, b"abc"), answer]
        with pytest.raises(LinqApiError) as caught:
            await client.attachments.upload(b"abc", filename="a.jpg")
    assert (type(caught.value), caught.value.status, caught.value.call) == (kind, status, "attachments.upload")
    assert "Signature" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        plain(200, PAGE, "Content-Type: text/html"),
        plain(302, None, "Location: http://127.0.0.1:1/"),
        plain(307, PAGE, "Content-Type: text/html", "Location: http://127.0.0.1:1/"),
        plain(403, PAGE, "Content-Type: text/html; charset=utf-8"),
        plain(407, None, "Proxy-Authenticate: Basic"),
        plain(413, PAGE, "Content-Type: text/html"),
    ],
    ids=lambda answer: answer.split(b" ")[1].decode(),
)
async def test_an_upload_that_a_proxy_answers_in_place_of_the_storage_is_repeated(answer: bytes) -> None:
    async with served() as server, client_at(server.port) as client:
        server.answers = [announced(server.port, b"abc"), answer, plain(200)]
        await client.attachments.upload(b"abc", filename="a.jpg")
        assert server.bodies[1:] == [b"abc", b"abc"]

    async with served() as server, client_at(server.port, max_retries=0) as client:
        server.answers = [announced(server.port, b"abc"), answer]
        with pytest.raises(LinqUnavailable, match="not Linq's") as caught:
            await client.attachments.upload(b"abc", filename="a.jpg")
    assert "log in" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://uploads.example.com/x", "ftp://a.b/c", "https://u:p@a.b/", "https://", "nowhere"]
)
async def test_an_upload_leaves_over_https_or_not_at_all(url: str) -> None:
    def linq(request: httpx.Request) -> httpx.Response:
        assert request.method == "POST"
        return httpx.Response(201, json={"attachment_id": CHAT, "upload_url": url, "download_url": "x"})

    async with Client(KEY, transport=httpx.MockTransport(linq)) as client:
        with pytest.raises(LinqApiError, match="upload"):
            await client.attachments.upload(b"abc", filename="a.jpg")


async def test_a_file_that_shrinks_meanwhile_is_an_error_of_its_own_and_not_of_the_network() -> None:
    class Shrinking(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            return b""

    async with served() as server, client_at(server.port) as client:
        server.answers = [announced(server.port, b"abc")]
        with pytest.raises(EOFError):
            await client.attachments.upload(Shrinking(b"abc"), filename="a.jpg")
        assert len(server.heads) <= 2


@pytest.mark.parametrize(
    ("file", "options", "rule"),
    [
        (b"abc", {}, "R3"),
        (b"abc", {"filename": "a.exe"}, "R92"),
        (b"abc", {"filename": "a.jpg", "content_type": "audio/flac"}, "R92"),
        (b"", {"filename": "a.jpg"}, "R91"),
        (iter([b"a"]), {"filename": "a.jpg"}, "R91"),
        (io.StringIO("abc"), {"filename": "a.txt"}, "R91"),
    ],
)
async def test_R91_R92_what_cannot_be_uploaded_is_not_announced(file: Any, options: Any, rule: str) -> None:
    def linq(_: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing may be sent")

    async with Client(KEY, transport=httpx.MockTransport(linq), clock=Waits()) as client:
        with pytest.raises(RuleBroken) as caught:
            await client.attachments.upload(file, **options)
    assert caught.value.rule == rule
    assert "linqbot.linq.rules" not in str(caught.value)


async def test_R91_a_file_that_was_written_and_not_rewound_is_refused_with_the_way_out() -> None:
    picture = io.BytesIO()
    picture.write(b"abc")  # as an image library does
    async with Client(KEY) as client:
        with pytest.raises(RuleBroken, match=r"call its seek\(0\)"):
            await client.attachments.upload(picture, filename="a.jpg")


def test_types_go_by_the_suffix_in_any_case() -> None:
    assert content_type_of("IMG_1.HEIC") == "image/heic"
    assert content_type_of("memo.m4a") == "audio/x-m4a"
    assert content_type_of("archive.tar.gz") == "application/x-gzip"
    assert content_type_of("README") is None
