"""A request and its response as they go over the wire: HTTP/1.1 as data, and what may go wrong. No I/O.

What writes and reads them is `connection.py`; `pool.py` keeps the connections, `dial.py` opens them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias
from urllib.parse import quote

from linqbot.client.http.addresses import Origin

MAX_HEAD_BYTES: Final = 64 << 10
"""Of an answer, header fields, interim answers and trailers together."""

MAX_CONTENT_BYTES: Final = 32 << 20
"""Of an answer, before and after it is unpacked. Linq's longest pages are far below."""

MAX_CODINGS: Final = 3
"""Content codings of an answer that are unpacked. We ask for one; each costs as much time as an answer has bytes."""

MAX_MEMBERS: Final = 10_000
"""Members of a gzip answer. An empty one is 20 bytes and costs microseconds: a million would hold the event loop."""

_GZIP_MAGIC = b"\x1f\x8b"
_FIRST_PIECE_BYTES = 512

Content: TypeAlias = bytes | AsyncGenerator[bytes, None] | None
"""What a request carries: at once, in pieces, or nothing."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")
_TARGET = re.compile(r"/[!\"$-~]*")
_TARGET_SAFE = "".join(letter for letter in map(chr, range(0x21, 0x7F)) if letter != "#")


class TransportError(OSError):
    """The network failed, or an answer is no HTTP. Its own words, where it has some, hold nothing of what was sent."""


class ConnectFailed(TransportError):
    """There was no connection, so nothing was sent."""


class ServerDisconnectedError(TransportError):
    """The connection ended before the answer did.

    Attributes:
        was_kept: It had been used before and brought no byte of an answer: most likely the other side closed it
            while it was idle, and others like it.
    """

    was_kept = False


class MalformedResponse(TransportError):
    """The answer cannot be read, or is too large."""


class RequestHeaders:
    """Header fields, as pairs and as the bytes to write. Names are found and replaced in any case.

    Raises:
        ValueError: a name or value that HTTP cannot carry, such as one with a line break. It is not quoted.
    """

    __slots__ = ("pairs", "raw")

    def __init__(self, given: Mapping[str, str]) -> None:
        for name, value in given.items():
            if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError("A header's name or value has a line break, or another character HTTP cannot carry.")
        self.pairs = tuple({name.lower(): (name, value) for name, value in given.items()}.values())
        self.raw = "".join(f"{name}: {value}\r\n" for name, value in self.pairs).encode("ascii")

    def replaced(self, more: Mapping[str, str]) -> RequestHeaders:
        """These fields with others beside them, or in their place."""
        names = {name.lower() for name in more}
        return RequestHeaders({**{name: value for name, value in self.pairs if name.lower() not in names}, **more})

    def __repr__(self) -> str:
        return f"RequestHeaders({', '.join(name for name, _ in self.pairs)})"


@dataclass(slots=True)
class Request:
    """One request. Its repr shows where to, and neither path nor content.

    Attributes:
        target: Path and query as they are written, percent-encoded: `request_target` sees to it.
        fields: With Host; the length of the content is added.
        size: Of content in pieces, in bytes.
        is_sent: True from the moment on at which a byte of it may have left this machine.
        needs_new_connection: True for a request that must not be repeated. On a kept connection, which the other side
            may be closing just now, nobody could tell if it arrived.
    """

    method: str
    origin: Origin
    target: str = field(repr=False)
    fields: RequestHeaders
    content: Content = field(default=None, repr=False)
    size: int = 0
    is_sent: bool = False
    needs_new_connection: bool = False

    def head(self, prefix: str = "", more: bytes = b"") -> bytes:
        """The request line and the header fields, to the empty line.

        Args:
            prefix: Stands before the target: proxies want to know the origin.
            more: Further fields, each with its line end.
        """
        content = self.content
        if content is None:
            length = b"Content-Length: 0\r\n\r\n" if self.method in _WITH_CONTENT else b"\r\n"
        else:
            length = b"Content-Length: %d\r\n\r\n" % (len(content) if isinstance(content, bytes) else self.size)
        line = f"{self.method} {prefix}{self.target} HTTP/1.1\r\n".encode("ascii")
        return b"".join((line, self.fields.raw, more, length))


_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})


def request_target(path: str) -> str:
    """Path and query as a request line takes them: spaces, control and foreign characters are percent-encoded.

    Raises:
        ValueError: it does not begin with a slash.
    """
    if _TARGET.fullmatch(path):
        return path
    if not path.startswith("/"):
        raise ValueError("The path of a call begins with a slash, such as /v3/chats.")
    return quote(path, safe=_TARGET_SAFE)


def method_name(name: str) -> str:
    """The method, if it is one.

    Raises:
        ValueError: it is no word HTTP could take for a method.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError("The method of a call is one word, such as POST.")
    return name


class ResponseHeaders(Mapping[str, str]):
    """The header fields of an answer, found by their name in any case. Decoded when they are read."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[bytes, bytes | bytearray]) -> None:
        """`raw` has lower-case names."""
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        try:
            return self._raw[name.lower().encode("latin-1")].decode("latin-1")
        except (KeyError, UnicodeEncodeError):
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        return f"ResponseHeaders({', '.join(self)})"


@dataclass(slots=True)
class Response:
    """A complete answer, its content unpacked."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


class HttpTransport(Protocol):
    """What takes requests to their origin and brings the answers: the pool, or an httpx transport.

    Attributes:
        errors: What `send` raises when the network fails.
    """

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    async def send(self, request: Request) -> Response:
        """Send a request once. `request.is_sent` tells honestly, also after an error, whether it may have arrived."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def unpacked(content: bytes, encodings: str, max_bytes: int = MAX_CONTENT_BYTES) -> bytes:
    """Content without its `Content-Encoding`. One we did not ask for is left as it is.

    Raises:
        MalformedResponse: it cannot be unpacked, ends early, is larger than `max_bytes`, or is packed too many times.
    """
    codings = [each.strip().lower() for each in encodings.split(",", MAX_CODINGS)]
    if len(codings) > MAX_CODINGS:
        raise MalformedResponse(f"the answer is packed more than {MAX_CODINGS} times")
    for coding in reversed(codings):
        if coding in {"gzip", "x-gzip"}:
            content = _gunzipped(content, max_bytes)
        elif coding == "deflate":
            # Two forms are sent under this name: zlib's, whose first byte is a checked one, and the bare stream.
            is_zlib = len(content) > 1 and content[0] & 0x0F == 8 and (content[0] << 8 | content[1]) % 31 == 0
            plain = bytearray()
            _inflate(memoryview(content), zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, plain, max_bytes)
            content = bytes(plain)
    return content


def _gunzipped(content: bytes, max_bytes: int) -> bytes:
    """Every member of a gzip file, one after the other. What follows the last one is padding."""
    plain, rest = bytearray(), memoryview(content)
    for _ in range(MAX_MEMBERS):
        rest = rest[_inflate(rest, 16 + zlib.MAX_WBITS, plain, max_bytes) :]
        if rest[:2] != _GZIP_MAGIC:
            return bytes(plain)
    raise MalformedResponse(f"the answer is packed in more than {MAX_MEMBERS} pieces")


def _inflate(packed: memoryview, window: int, plain: bytearray, max_bytes: int) -> int:
    """Unpack one stream into `plain`; how many bytes it took.

    It is fed in pieces that double: zlib copies what follows a stream, and of many short streams each would copy all
    the others.
    """
    inflate = zlib.decompressobj(window)
    at, piece = 0, _FIRST_PIECE_BYTES
    while at < len(packed) and not inflate.eof:
        given = packed[at : at + piece]
        try:
            plain += inflate.decompress(given, max_bytes - len(plain) + 1)
        except zlib.error as error:
            raise MalformedResponse("the answer cannot be unpacked") from error
        if len(plain) > max_bytes:
            raise MalformedResponse(f"the answer unpacks to more than {max_bytes} bytes")
        at, piece = at + len(given) - len(inflate.unused_data), piece * 2
    if packed and not inflate.eof:
        raise MalformedResponse("the answer is packed, and ends early")
    return at
