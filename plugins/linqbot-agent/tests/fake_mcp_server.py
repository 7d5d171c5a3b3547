"""An MCP server over HTTP on loopback that answers calls of its tool with any JSON, as a server in another language may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fake_provider import head_of, serving

DESCRIPTION = r"A \ud83d tool"


@dataclass
class OddServer:
    """The server.

    Attributes:
        result: The JSON text of the result of a call.
        acts: The number of calls.
        as_stream: True answers calls with a stream of events.
    """

    result: str = '{"content": []}'
    acts: int = 0
    as_stream: bool = False
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lengths = [each[15:] for each in head.lower().split(b"\r\n") if each.startswith(b"content-length:")]
            asked = await reader.readexactly(int(lengths[0])) if lengths else b""
            if not head.startswith(b"POST"):
                writer.write(head_of(405, "text/plain", "content-length: 0"))
            else:
                self._answer(json.loads(asked), writer)
            await writer.drain()

    def _answer(self, asked: dict[str, object], writer: asyncio.StreamWriter) -> None:
        if "id" not in asked:
            writer.write(head_of(202, "text/plain", "content-length: 0"))
            return
        said = f'{{"jsonrpc": "2.0", "id": {json.dumps(asked["id"])}, {self._said(asked)}}}'
        is_stream = self.as_stream and asked["method"] == "tools/call"
        body = (f"event: message\r\ndata: {said}\r\n\r\n" if is_stream else said).encode()
        kind = "text/event-stream" if is_stream else "application/json"
        writer.write(head_of(200, kind, f"content-length: {len(body)}") + body)

    def _said(self, asked: dict[str, object]) -> str:
        match asked["method"]:
            case "initialize":
                facts = '"capabilities": {"tools": {}}, "serverInfo": {"name": "odd", "version": "1"}'
                return f'"result": {{"protocolVersion": "2025-06-18", {facts}}}'
            case "tools/list":
                tool = f'{{"name": "act", "description": "{DESCRIPTION}", "inputSchema": {{"type": "object"}}}}'
                return f'"result": {{"tools": [{tool}]}}'
            case "tools/call":
                self.acts += 1
                return f'"result": {self.result}'
        return '"error": {"code": -32601, "message": "Method not found"}'


@asynccontextmanager
async def odd_server() -> AsyncIterator[OddServer]:
    """Run the server for the duration of a block."""
    server = OddServer()
    async with serving(server.serve) as address:
        server.url = f"{address}/mcp"
        yield server
