"""Odd data, made by a seeded chance: texts, JSON of models and servers, results of tools, answers of providers, stored messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

from fake_provider import Raw
from pydantic import BaseModel
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

_PIECES: Final = (
    *("word", "Two words. ", "\n\n", "\n", " ", "é", "한국", "ﷺ", "𝕏", "😀", "👨‍👩‍👧", "🇫🇷", "e\u0301"),
    *(
        "\ud83d",
        "\udc00",
        "\ude00",
        "\ud83d\ude00",
        "\ufffd",
        "\ufffe",
        "\ufeff",
        "\0",
        "\x1b[31m",
        "\x07",
        "\r",
        "\t",
        "\x85",
    ),
    *("\u200b", "\u202e", "\u2028", "\u2029", "\U000e0041", "\ue000"),
    *("**", "`", "```", "# ", "- ", "> ", "1. ", "[x", "]", "\\", "|", "_", "<b>", "&amp;"),
    *("null", "NaN", "{}", '{"tool": "act"}', "<tool_call>", "</user>", "[edited]", "1e999", "%s", "{0}"),
)
_ODD_JSON: Final = (
    *("null", "[]", "[1]", "5", "-0", "1.5", "true", '"text"', '""', "{}", '{"a": {"b": [null]}}'),
    *("1e999", "-1e999", "NaN", "9" * 400, "9" * 5000, "[" * 150 + "]" * 150, "[" * 1200 + "]" * 1200),
    *(r'"\ud83d"', r'"\udc00x"', r'"\u0000"', r'{"\ud83d": 1}', f'"{"x" * 3000}"'),
)


def text(chance: Random) -> str:
    return "".join(chance.choices(_PIECES, k=chance.randint(1, 6)))


def in_pieces(chance: Random, whole: str) -> list[str]:
    """Return a text in pieces, as a stream has it. A character may be in two of them."""
    places = sorted({0, *(chance.randrange(len(whole)) for _ in range(3)), len(whole)})
    return [whole[begin:end] for begin, end in pairwise(places)]


def odd_json(chance: Random) -> str:
    return chance.choice(_ODD_JSON)


def arguments(chance: Random) -> str:
    """Return the arguments of a call as a model may write them."""
    names = chance.sample(("cents", "note", "more", "", "self", "ctx", r"\ud83d", "arguments"), k=chance.randint(1, 3))
    whole = "{" + ", ".join(f'"{name}": {odd_json(chance)}' for name in names) + "}"
    return chance.choice((odd_json(chance), whole, whole, whole[: chance.randrange(len(whole))], f"{whole}}}", ""))


class _Model(BaseModel):
    value: Any = None


@dataclass
class _Data:
    value: Any = None


def result(chance: Random, levels: int = 2) -> Any:
    """Return what a tool may return."""
    value = result(chance, levels - 1) if levels else text(chance)
    endless: list[Any] = [value]
    endless.append(endless)
    deep: Any = value
    for _ in range(chance.choice((50, 300, 1200))):
        deep = [deep]
    return chance.choice(
        (
            *(text(chance), "", None, True, 5, 10**30, 10**5000, 1.5, float("nan"), float("-inf"), Decimal("1.50")),
            *(
                b"text",
                b"\xff\xfe",
                bytearray(b"\xff"),
                memoryview(b"\xff"),
                datetime(2026, 11, 30, tzinfo=UTC),
                Path("/x"),
            ),
            *(
                [value],
                (value, value),
                {"value": value},
                {text(chance): value},
                {1: value},
                {None: value},
                {("a", 1): value},
            ),
            *({1, 2}, frozenset("ab"), _Model(value=value), _Data(value), endless, deep, "x" * 3000),
        )
    )


def spoiling(chance: Random, *, likely: float) -> Callable[[str], list[str]]:
    """Return what changes JSON texts of a response: each with this likelihood, in a field, or as a whole."""

    def spoiled(written: str) -> list[str]:
        if chance.random() > likely:
            return [written]
        how = chance.choice(("field", "field", "field", "field", "cut", "none", "twice", "other"))
        if how == "field" and written.startswith("{"):
            found = json.loads(written)
            spoil_field(chance, found)
            return [json.dumps(found)]
        whole = {"cut": written[: chance.randrange(len(written) or 1)], "other": odd_json(chance).replace("\n", "")}
        return [written] * 2 if how == "twice" else [] if how == "none" else [whole.get(how, written)]

    return spoiled


def spoil_field(chance: Random, found: Any) -> None:
    """Change one field of JSON data, or leave it out."""
    while True:
        places = list(found) if isinstance(found, dict) else range(len(found))
        if not places:
            return
        place = chance.choice([*places])
        inside = found[place]
        if isinstance(inside, dict | list) and inside and chance.random() < 0.7:
            found = inside
            continue
        if chance.random() < 0.4:
            del found[place]
        else:
            found[place] = chance.choice(
                (None, 5, -1, 1.5, "", "other", "\ud83d", [], {}, [None], {"a": 1}, True, 10**30)
            )
        return


_BODIES: Final = (
    *(b"", b"null", b"[]", b"{}", b"5", b'"text"', b"<html>502</html>", b"\xff\xfe\x00", b"[" * 1200, b'{"id": '),
    *(
        b'{"error": {"message": "no", "type": "x"}}',
        b'{"error": "no"}',
        b'{"detail": []}',
        b"data: {}\n\n",
        b"data: [DONE]\n\n",
    ),
    *(
        b"data: <html>\n\n",
        b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n',
        b"\n" * 50,
    ),
)
_STATUSES: Final = (200, 200, 200, 201, 204, 206, 302, 400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 502, 503, 529)
_HEADERS: Final = (
    *("retry-after: -5", "retry-after: 1e999", "retry-after: soon", "retry-after: Wed, 21 Oct 2065 07:28:00 GMT"),
    *("x-should-retry: true", "location: /elsewhere", "content-encoding: gzip", "request-id: \xe9"),
)


def http_answer(chance: Random) -> Raw:
    kind = chance.choice(("application/json", "text/html", "text/event-stream", "text/plain; charset=utf-16", ""))
    headers = chance.sample(_HEADERS, k=chance.choice((0, 0, 1)))
    status = chance.choice(_STATUSES)
    body = b"" if status == 204 else chance.choice(_BODIES)
    return Raw(body, status, kind, is_whole=chance.random() > 0.1, headers=headers)


def server_result(chance: Random) -> str:
    """Return the result of a call of an MCP server, as JSON text."""
    said = json.dumps(text(chance))
    content = chance.choice(
        (f'{{"type": "text", "text": {said}}}', f'{{"type": "image", "data": {said}}}', odd_json(chance))
    )
    is_error = chance.choice(("", ', "isError": true', f', "isError": {odd_json(chance)}'))
    structured = chance.choice(("", "", f', "structuredContent": {odd_json(chance)}'))
    return chance.choice((f'{{"content": [{content}]{structured}{is_error}}}',) * 4 + (odd_json(chance),))


def stored(chance: Random) -> list[Any]:
    """Return the stored messages of an earlier run, as another release may have left them."""
    said: Sequence[Any] = [
        ModelRequest(parts=[UserPromptPart(text(chance) or "x")]),
        ModelResponse(parts=[ToolCallPart("act", arguments(chance), "c1")]),
        ModelRequest(parts=[ToolReturnPart("act", text(chance), "c1")]),
        ModelResponse(parts=[TextPart(text(chance))]),
    ]
    found: list[Any] = ModelMessagesTypeAdapter.dump_python([*said], mode="json")
    for _ in range(chance.choice((0, 1, 1, 2))):
        spoil_field(chance, found)
    return found
