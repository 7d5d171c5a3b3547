"""One HTTP/1.1 connection: write a request, read its response, one exchange at a time.

httptools (llhttp) parses the responses. Any protocol violation closes the connection: the rest of one response must
never be read as the response to the next request. `pool.py` keeps the connections.
"""

from __future__ import annotations

import asyncio
import re
import select
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from linqbot.client.http.http11 import (
    MAX_CONTENT_BYTES,
    MAX_HEAD_BYTES,
    ConnectFailed,
    MalformedResponse,
    Request,
    Response,
    ResponseHeaders,
    ServerDisconnectedError,
    StreamedResponse,
    TransportError,
)

IDLE_S: Final = 15.0
"""Longest idle time in seconds after which a connection is used again, unless the server's `Keep-Alive` is shorter."""

_EMPTY = frozenset({204, 304})
_CHUNK_BYTES = 1 << 20
_KEPT_FOR = re.compile(rb"timeout\s*=\s*(\d{1,9})", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection, usable while `is_open` is True.

    Attributes:
        is_clean: True if the last exchange is complete on both sides, so that another one may follow.
        idle_s: Longest idle time in seconds after which the connection may be used again.
        lost: A future that is done when the connection is closed.

    Args:
        on_lost: Called when the connection is closed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self.transport: asyncio.Transport
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._poll: select.poll | None = None
        self._response: asyncio.Future[Response] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._can_write: asyncio.Future[None] | None = None
        self._is_paused = False
        self._fields: dict[bytes, bytes | bytearray] = {}
        self._uses = self._received = 0
        self._is_read = True
        self._until_end = False
        self.is_open = True
        self.is_clean = False
        self.idle_s = IDLE_S
        self.lost: asyncio.Future[None] = loop.create_future()

    async def exchange(self, request: Request, head: bytes) -> Response:
        """Send a request, with the head from `request.head`, and read its response.

        If this ends early, the connection is not clean and must be closed.

        Raises:
            ConnectFailed: The connection was already closed; nothing was sent.
            ServerDisconnectedError: The connection was closed before the response was complete.
            MalformedResponse: The response cannot be parsed, or is too large.
            ValueError: The content does not have the announced size.
        """
        response = self._begin(request)
        is_written = False
        try:
            content = request.content
            if content is None or isinstance(content, bytes):
                # One segment: the second of two would wait for the first one's acknowledgement.
                self.transport.write(head + (content or b""))
                is_written = True
            else:
                self.transport.write(head)
                is_written = await self._upload(content, request.size, response)
            return await response
        finally:
            self._response = None
            self._content, self._fields = bytearray(), {}  # an idle connection must not keep people's texts in memory
            if response.done() and not response.cancelled():
                response.exception()  # marked as retrieved, also if the upload's own error is raised instead
            self.is_clean = self.is_clean and is_written and self.transport.get_write_buffer_size() == 0

    async def stream(self, request: Request, head: bytes) -> StreamedResponse:
        """Send a request without content and return its response as soon as its head is read.

        The chunks are not decoded, and neither their number nor their size is limited: the server waits while many are
        unread. Raises as `exchange`, also while chunks are read. The connection cannot be used again.
        """
        response = self._begin(request)
        self._reader = reader = asyncio.StreamReader(loop=self._loop)
        reader.set_transport(self.transport)
        self.transport.write(head)
        start = await response

        async def chunks() -> AsyncGenerator[bytes, None]:
            while chunk := await reader.read(_CHUNK_BYTES):
                yield chunk

        return StreamedResponse(start.status, start.headers, chunks())

    def _begin(self, request: Request) -> asyncio.Future[Response]:
        if not self.is_open:
            raise ConnectFailed("the connection ended before anything was sent")
        self._response = response = self._loop.create_future()
        self.is_clean = self._is_read = self._until_end = False
        self._is_bodiless = request.method == "CONNECT"
        self._received = self._size = self._status = 0
        # A list of chunks would need 43 bytes of memory for two bytes of content, the shortest chunk.
        self._content = bytearray()
        self._fields = {}
        self._uses += 1
        request.is_sent = True
        return response

    def has_unread(self) -> bool:
        """Return True if the server has said something, or has closed the connection, and the event loop has not seen it.

        While the loop is busy, an idle connection may so have ended. The next response would be that of no request.
        """
        return self._poll is not None and bool(self._poll.poll(0))

    def abort(self) -> None:
        """Close the connection immediately. A graceful close would wait for the server, which is not needed here."""
        if self.is_open:
            self.is_open = self.is_clean = False
            self.transport.abort()

    async def _upload(
        self, content: AsyncGenerator[bytes, None], size: int, response: asyncio.Future[Response]
    ) -> bool:
        """Write content chunk by chunk, respecting backpressure. Return False if the response arrives before the end."""
        left = size
        async with aclosing(content) as pieces:
            async for piece in pieces:
                if response.done():
                    return False
                left -= len(piece)
                if left < 0:
                    break
                self.transport.write(piece)
                if self._is_paused and not response.done():
                    self._can_write = self._loop.create_future()
                    await asyncio.wait((self._can_write, response), return_when=asyncio.FIRST_COMPLETED)
        if left:
            raise ValueError(f"The content does not have the announced size of {size} bytes.")
        return True

    # --- called by the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):  # Windows has none
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._response is None or self._parser is None:
            self.abort()  # data without a request
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._fail(MalformedResponse("the server switched to another protocol"))
        except HttpParserError as error:
            self._fail(MalformedResponse(f"the response is not HTTP: {error}"), error)
        if self._is_read:
            return
        size = self._size
        if self._reader is None and size > MAX_CONTENT_BYTES:
            self._fail(MalformedResponse(f"the response is larger than {MAX_CONTENT_BYTES} bytes"))
        # Bytes that are not content: header fields, interim responses, trailers, and chunk framing, at worst six bytes
        # per byte of content.
        elif self._received - size > MAX_HEAD_BYTES + 8 * size:
            self._fail(MalformedResponse(f"the response's head is larger than {MAX_HEAD_BYTES} bytes"))

    def eof_received(self) -> None:
        if self._until_end:
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if exc is None and self._until_end:
            self._complete()
        lost = ServerDisconnectedError("ServerDisconnectedError: the connection ended before the response did")
        lost.was_kept = self._uses > 1 and self._received == 0
        self._fail(lost, exc)
        self._parser = None  # breaks the reference cycle
        if not self.lost.done():
            self.lost.set_result(None)
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._can_write is not None and not self._can_write.done():
            self._can_write.set_result(None)

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        if self._is_read:
            self.is_clean = False  # a response without a request
        self._fields = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status or self._is_read:
            return  # a trailer
        name = name.lower()
        if (before := self._fields.get(name)) is None:
            self._fields[name] = value
        elif isinstance(before, bytearray):
            before += b", " + value
        else:
            self._fields[name] = bytearray(before + b", " + value)  # grows in place: a field may be repeated very often

    def on_headers_complete(self) -> None:
        if self._is_read or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            return  # an interim response, 100 or 103: the final response follows
        self._status = status
        if self._reader is not None and self._response is not None and not self._response.done():
            self._response.set_result(Response(status, ResponseHeaders(self._fields), b""))
        coding = self._fields.get(b"transfer-encoding")
        if self._is_bodiless:
            self._complete()
        elif coding is not None and coding.strip().lower() != b"chunked":
            self._fail(MalformedResponse("the response has an unsupported transfer encoding"))
        elif coding is None and status not in _EMPTY:
            length = self._fields.get(b"content-length")
            if length is None:
                self._until_end = True
            elif self._reader is None and int(length) > MAX_CONTENT_BYTES:
                # Not read to the limit first: 200 calls at once would fill the memory.
                self._fail(MalformedResponse(f"the response is larger than {MAX_CONTENT_BYTES} bytes"))

    def on_body(self, data: bytes) -> None:
        if self._is_read:
            return
        self._size += len(data)
        if self._reader is None:
            self._content += data
        else:
            self._reader.feed_data(data)

    def on_message_complete(self) -> None:
        if self._status and not self._is_read and self._parser is not None:
            self.is_clean = self._parser.should_keep_alive()
            if kept_for := _KEPT_FOR.search(self._fields.get(b"keep-alive", b"")):
                self.idle_s = min(IDLE_S, int(kept_for[1]) - 1.0)
            self._complete()

    def _complete(self) -> None:
        self._is_read, self._until_end = True, False
        if self._reader is not None:
            self._reader.feed_eof()
        response = self._response
        if response is None or response.done():
            return
        content, self._content = bytes(self._content), bytearray()
        response.set_result(Response(self._status, ResponseHeaders(self._fields), content))

    def _fail(self, error: TransportError, cause: BaseException | None = None) -> None:
        error.__cause__ = cause
        if self._reader is not None and not self._is_read:
            self._reader.set_exception(error)
        self._is_read, self._until_end = True, False
        if self._response is not None and not self._response.done():
            self._response.set_exception(error)
        self.abort()
