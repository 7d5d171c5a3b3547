"""HTTP/1.1 as data: requests, responses, header fields, and the errors of the transport. No I/O.

`connection.py` writes and reads them, `pool.py` keeps the connections, and `connector.py` opens them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from linqbot.client.http.addresses import Origin

MAX_HEAD_BYTES: Final = 64 << 10
"""Largest total size of a response's header fields, interim responses and trailers."""

MAX_CONTENT_BYTES: Final = 32 << 20
"""Largest content of a response. Linq's longest pages are far smaller."""

Content: TypeAlias = bytes | AsyncGenerator[bytes, None] | None
"""The content of a request: bytes, chunks, or nothing."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")


class TransportError(OSError):
    """The network failed, or the response is not HTTP. The message, if there is one, quotes nothing of the request."""


class ConnectFailed(TransportError):
    """No connection could be opened, so nothing was sent."""


class ServerDisconnectedError(TransportError):
    """The connection was closed before the response was complete.

    Attributes:
        was_kept: True if the connection was reused and returned no byte of a response. Most likely the server closed
            it, and other idle connections too, while it was idle.
    """

    was_kept = False


class MalformedResponse(TransportError):
    """The response cannot be parsed, or is too large."""


def reason_of(error: BaseException) -> str:
    """Return the text of our own error, or else the class name of the first error, whose text may quote the request."""
    while not (isinstance(error, TransportError) and str(error)) and (before := error.__cause__ or error.__context__):
        error = before
    return str(error) if isinstance(error, TransportError) and str(error) else type(error).__name__


class RequestHeaders:
    """Header fields, as pairs and as the bytes to write. Names are compared case-insensitively.

    Raises ValueError for a character that HTTP does not allow, such as a line break, without quoting name or value.
    """

    __slots__ = ("pairs", "raw")

    def __init__(self, given: Mapping[str, str]) -> None:
        for name, value in given.items():
            if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError("A header's name or value has a line break or another character HTTP does not allow.")
        self.pairs = tuple({name.lower(): (name, value) for name, value in given.items()}.values())
        self.raw = "".join(f"{name}: {value}\r\n" for name, value in self.pairs).encode("ascii")

    def replaced(self, more: Mapping[str, str]) -> RequestHeaders:
        """Return these fields with `more` added; a field of the same name is replaced."""
        names = {name.lower() for name in more}
        return RequestHeaders({**{name: value for name, value in self.pairs if name.lower() not in names}, **more})

    def __repr__(self) -> str:
        return f"RequestHeaders({', '.join(name for name, _ in self.pairs)})"


@dataclass(slots=True)
class Request:
    """One request. Its repr shows the origin, and neither path nor content.

    Attributes:
        target: Path and query as written on the wire, percent-encoded.
        fields: Header fields with Host. Content-Length is added by `head`.
        size: Size of chunked content, in bytes.
        is_sent: True from the moment when a byte of the request may have left this machine.
        needs_new_connection: True for a request that must not be repeated. The server may be closing a reused
            connection at this moment, and then nothing tells if the request arrived.
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
        """Return the request line and the header fields, up to and including the empty line.

        A proxy needs the origin as `prefix` of the target, and `more` header fields, each with its line end.
        """
        content = self.content
        if content is None:
            length = b"Content-Length: 0\r\n\r\n" if self.method in _WITH_CONTENT else b"\r\n"
        else:
            length = b"Content-Length: %d\r\n\r\n" % (len(content) if isinstance(content, bytes) else self.size)
        line = f"{self.method} {prefix}{self.target} HTTP/1.1\r\n".encode("ascii")
        return b"".join((line, self.fields.raw, more, length))


_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})


class ResponseHeaders(Mapping[str, str]):
    """The header fields of a response, looked up by name in any case. Values are decoded when they are read."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[bytes, bytes | bytearray]) -> None:
        """Keep `raw`, whose names are lower-case."""
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
    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(slots=True)
class StreamedResponse:
    """A response whose content is read in chunks, as they arrive and not decoded."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    chunks: AsyncIterator[bytes] = field(repr=False)
