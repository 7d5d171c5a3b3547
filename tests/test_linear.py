"""All input is read in linear time: a text of four times the length takes about four times as many steps, or as long.

Python code is counted in lines that run. Where a function in C does the work, its time is compared. A regular expression that backtracks, or a loop that copies the rest of its input, can block the event loop for seconds
if an attacker sends a long text made for it. The patterns are those that the package's modules write.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import json
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import linqbot_dev
import pytest
from client.raw_server import Nowhere

import linqbot
from linqbot import MessageReceived, contains, exact, markdown, mentions_bot, replies_to_bot
from linqbot import parse as parsers
from linqbot.client.call import ApiResponse, Call, prepare
from linqbot.client.http.addresses import Origin, UnsafeURL, bare_name, disposed_name, target
from linqbot.client.http.connection import Connection
from linqbot.client.http.http11 import Request, RequestHeaders, Response
from linqbot.client.outcome import LONGEST_READ, error_for, is_page, not_linqs
from linqbot.client.resources.resource import read
from linqbot.content.message_split import bubbles
from linqbot.error_details import ErrorDetails, read_error, stored_error
from linqbot.errors import InvalidSignature, LinqApiError
from linqbot.features.loops import gist_of_message
from linqbot.language import CODES
from linqbot.linq import rules
from linqbot.linq.events.delivery import Delivery, decode
from linqbot.linq.events.parse import EventNotUnderstood, parse
from linqbot.linq.signatures import Secret, verify
from linqbot.linq.text.pieces import SLICE, Cutter
from linqbot.linq.text.styled import Style, StyledText
from linqbot.linq.types.message import MessageSentResponse
from linqbot.parse.translation import LONGEST_TEXT
from linqbot.storage import people
from linqbot.storage.personal import Person

SIZES = (1 << 12, 1 << 14, 1 << 16, 1 << 18)
MOST_TIMES_LONGER = 12
"""For four times the length: 4 is linear, 16 is quadratic."""
REPEATS = 10
LONG_S = 1.0
"""What disturbs a run of more seconds is small next to it, so that a third run says enough."""
RESOLUTION_S = max(1e-4, 2 * time.get_clock_info("thread_time").resolution)
"""Below this, caches and the clock affect the time more than the length does."""


def is_linear(run: Callable[[Any], object], made: Callable[[int], Any]) -> None:
    shorter, before = None, 0.0
    for size in SIZES:
        given = made(size)
        times, times_before = [timed(run, given)], [before]
        for _ in range(REPEATS):
            is_long = min(times) > LONG_S
            if shorter is None or min(times) <= longest(max(times_before)) or (is_long and len(times) > 2):
                break
            # One time says little: another process may have slowed a run down, and a virtual machine's clock, which
            # stands still now and then, may have measured too little.
            times_before.append(timed(run, shorter))
            times.append(timed(run, given))
        took, limit = min(times), longest(max(times_before))
        assert shorter is None or took <= limit, f"{size} characters took {took:.4f} s, and {limit:.4f} s is linear"
        shorter, before = given, took


def longest(before: float) -> float:
    """Return the most seconds for a text of four times the length of one that took `before`."""
    return MOST_TIMES_LONGER * max(before, RESOLUTION_S)


def timed(run: Callable[[Any], object], given: Any) -> float:
    gc.disable()  # it would look at what all tests before have made
    began = time.thread_time()
    run(given)
    took = time.thread_time() - began
    gc.enable()
    return took


# --- regular expressions ----------------------------------------------------------------------------------------------

PUMPS = [
    *("a", "1", ".", " ", "-", "@", "/", "_", "\n", "=", '"', "é"),
    *("a.", "a@", "@.", "1 ", "1-", "(1-", "a-", "?a", "&a-", "a=", 'a="', ". ", "\n ", "timeout ", "www.", "+1 ("),
]
BEGINNINGS = ["", "x@", "https://", "http://127.0.0.1:", "+1", "\n", "?"]
ENDS = ["", " ", "@", "!", "\n!"]
METHODS = {"fullmatch", "match", "search", "sub", "split", "findall", "finditer"}
USED_LATER = {"linq/rules/check.py": "fullmatch", "linq/text/pieces.py": "match"}
"""Modules that use patterns by another name than that of the constant, and how they use them."""
OF_BOTS = {"engine/filters.py", "commands/rehearse.py", "testing/ledger.py", "testing/people/checks.py"}
"""Modules that compile the patterns of bots and of their authors."""
COMPOSED = {
    "bot/hours.py",  # an owner's text, in the English of the parsers, which refuse long ones
    "features/asking/answers.py",  # forms of a text of 300 characters at most
    "language/reading.py",
    "ops/open_questions.py",  # the words of an author
}
"""Modules that compose patterns of others, and read short texts only."""
OF_SHORT_TEXTS = ("parse/", "bot/hours_text.py")
"""Where patterns see short texts only: `linqbot.parse` refuses longer ones first, for the words of an owner too."""


def uses() -> set[tuple[str, str]]:
    """Return each pattern of linqbot and linqbot-dev with each method that it is used with, as their modules write them."""
    roots = [Path(linqbot.__file__).parent, Path(linqbot_dev.__file__).parent]
    written: dict[tuple[str, str], str] = {}
    used, called = set[tuple[str, str]](), set[tuple[str, str, str]]()
    for root, path in ((each, path) for each in roots for path in each.rglob("*.py")):
        module = path.relative_to(root).as_posix()
        if module.startswith(OF_SHORT_TEXTS):
            continue
        tree = ast.parse(path.read_text())
        names = {node.value: node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign)}
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[pattern, *_]):
                    if not isinstance(pattern, ast.Constant):
                        assert method == "escape" or module in OF_BOTS | COMPOSED, (
                            f"{path}:{node.lineno} hides its pattern"
                        )
                        continue
                    text = pattern.value.decode() if isinstance(pattern.value, bytes) else str(pattern.value)
                    match names.get(node):
                        case _ if method != "compile":
                            used.add((text, method))
                        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                            written[module if name.startswith("_") else "", name] = text
                        case _:
                            used.add((text, USED_LATER[module]))
                case ast.Attribute(value=ast.Name(id=name), attr=method) if method in METHODS:
                    called.add((module if name.startswith("_") else "", name, method))
    for (module, name), text in written.items():
        methods = {method for *where, method in called if where == [module, name]} or {USED_LATER[module]}
        used |= {(text, method) for method in methods}
    return used


def test_a_parser_refuses_a_long_text_before_it_reads_it(subtests: pytest.Subtests) -> None:
    for name in parsers.__all__:
        with subtests.test(name=name):
            read = getattr(parsers, name)
            if isinstance(read, type):
                continue  # what `recurrence` returns
            needed = {"timezone": "UTC"} if name in {"date_time", "day"} else {}
            with pytest.raises(ValueError, match="write less"):
                read("1" * (LONGEST_TEXT + 1), **needed)
            for number, pump in enumerate((*PUMPS, "an hour ", "mon,", "1h")):
                for language in {"en", CODES[number % len(CODES)]}:
                    with suppress(ValueError):
                        read((pump * LONGEST_TEXT)[:LONGEST_TEXT], **needed, language=language)


def pumped(parts: tuple[str, str, str], size: int) -> str:
    begin, pump, end = parts
    return begin + pump * (size // len(pump)) + end


@pytest.mark.slow
def test_a_pattern_reads_any_text_in_linear_time(subtests: pytest.Subtests) -> None:
    for pattern, method in sorted(uses()):
        use = getattr(re.compile(pattern, re.IGNORECASE), method.replace("iter", "all"))
        run = partial(use, "") if method == "sub" else use
        with subtests.test(pattern=pattern, method=method):
            # Find the slowest text of a moderate length, then check it up to 256 KiB.
            texts = {timed(run, pumped(parts, 1 << 11)): parts for parts in product(BEGINNINGS, PUMPS, ENDS)}
            is_linear(run, partial(pumped, texts[max(texts)]))


# --- decoders ---------------------------------------------------------------------------------------------------------

SEND = prepare("chats.messages.send", path={"chat_id": "a"}, body={"message": {"parts": []}})
SECRET = Secret.parse("whsec_" + "A" * 32)


def refused(text: str) -> LinqApiError:
    body = json.dumps(
        {"error": {"code": 1005, "message": text, "doc_url": text, "retry_after": text}, "trace_id": text}
    )
    response = Response(400, {"retry-after": text, "content-type": text}, body.encode())
    return error_for(SEND, response, now=0, secret="k")


def with_many_texts(count: int) -> Call:
    """Return a call with very many texts, which are searched for in an error message."""
    options = [{"text": f"option {n}"} for n in range(count // 32)]
    return prepare("chats.polls.create", path={"chat_id": "a"}, body={"poll": {"options": options}})


def without_texts(call: Call) -> object:
    body = json.dumps({"error": {"code": 1005, "message": "option 1 " * (LONGEST_READ // 9)}}).encode()
    return error_for(call, Response(400, {}, body), now=0, secret="k")


def foreign(text: str) -> object:
    response = Response(200, {"content-type": text, "retry-after": text}, text.encode())
    return not_linqs(SEND, response, "an answer", now=0), is_page(response)


def head(data: bytes) -> None:
    """Feed the whole head of a response to a connection at once."""

    async def exchange() -> None:
        connection = Connection(asyncio.get_running_loop(), lambda _: None)
        connection.connection_made(Nowhere())
        sending = asyncio.ensure_future(connection.exchange(request, request.head()))
        await asyncio.sleep(0)
        connection.data_received(b"HTTP/1.1 200 OK\r\n" + data)
        await asyncio.sleep(0)
        assert not sending.done() or sending.exception() is not None
        sending.cancel()
        await asyncio.wait([sending])

    request = Request("GET", Origin("http", "linq.test", 80), "/", RequestHeaders({}))
    asyncio.run(exchange())


def goal(url: str) -> None:
    with suppress(UnsafeURL):
        target(url)


def event(body: bytes) -> None:
    delivery = Delivery.from_webhook(body, webhook_id="w", received_at=0.0)
    with suppress(EventNotUnderstood):
        parsed = parse(delivery)
        if isinstance(parsed, MessageReceived):
            assert isinstance(parsed.text_to_me, str)


def received(**data: Any) -> bytes:
    whole = {"id": "m", "chat": {"id": "c"}, "direction": "inbound", **data}
    return json.dumps({"event_type": "message.received", "event_id": "e", "data": whole}).encode()


def mentioned(size: int) -> bytes:
    count = size // 128
    mentions = [{"handle": "+15551234567", "is_me": True, "range": [4 * n, 4 * n + 2]} for n in range(count)]
    return received(parts=[{"type": "text", "value": "abc " * (size // 8), "mentions": mentions}])


def named(disposition: str) -> object:
    return bare_name(disposed_name(disposition)), bare_name(disposition)


def signature(header: str) -> None:
    headers = {"webhook-signature": header, "webhook-id": header, "webhook-timestamp": header}
    with suppress(InvalidSignature):
        verify(headers, header.encode(), [SECRET], now=0)


def sent(data: Any) -> None:
    with suppress(LinqApiError):
        read(MessageSentResponse, ApiResponse(202, data), "chats.messages.send")


def a_send(text: str) -> object:
    parts = [{"type": "text", "value": text}, {"type": "media", "url": text}]
    return rules.check("chats.create", {"from": text, "to": [text], "message": {"parts": parts}}, {"limit": text}, {})


def split_text(text: str) -> object:
    return bubbles([text], service="SMS")


def streamed(text: str, *, size: int = SLICE, is_markdown: bool = True) -> None:
    cutter = Cutter(markdown=is_markdown)
    for at in range(0, len(text), size):
        cutter.feed(text[at : at + size])
    cutter.close()


DECODERS: dict[str, tuple[Callable[[Any], object], Callable[[int], Any]]] = {
    "an error's letters": (refused, lambda size: "a" * size),
    "an error's numbers": (refused, lambda size: "(1-" * (size // 3)),
    "an error's digits": (refused, lambda size: "1" * size),
    "an error's addresses": (refused, lambda size: "a@a" * (size // 3)),
    "an error's date": (refused, lambda size: "Tue, " * (size // 5)),
    "an error for many texts": (without_texts, with_many_texts),
    "a foreign answer": (foreign, lambda size: " " * size),
    "a foreign type": (foreign, lambda size: "a/" * (size // 2)),
    "a field that comes often": (head, lambda size: b"a:b\r\n" * (size // 5)),
    "a long field": (head, lambda size: b"a:" + b"b" * size),
    "a keep-alive": (head, lambda size: b"keep-alive: " + b"timeout " * (size // 8) + b"\r\n\r\n"),
    "a URL's host": (goal, lambda size: "https://" + "a." * (size // 2)),
    "a URL's path": (goal, lambda size: "https://a.example/" + "../" * (size // 3)),
    "a URL's port": (goal, lambda size: "https://a.example:" + "1" * size),
    "nested JSON": (decode, lambda size: b"[" * size),
    "a number": (decode, lambda size: b"1" * size),
    "half characters": (decode, lambda size: b'["' + rb"\ud800" * (size // 6) + b'"]'),
    "an event's parts": (event, lambda size: received(parts=[{"type": 1}] * (size // 12))),
    "an event's wrong parts": (event, lambda size: received(parts=[1] * (size // 3), effect=1, sent_at=1)),
    "an event's text": (event, lambda size: received(parts=[{"type": "text", "value": "@" * size}])),
    "an event's mentions": (event, mentioned),
    "a file's name": (named, lambda size: 'attachment; filename="' + ";" * size),
    "a file's folders": (named, lambda size: "attachment; filename=" + "../" * (size // 3)),
    "a signature": (signature, lambda size: "v1,a " * (size // 5)),
    "an answer's wrong parts": (
        sent,
        lambda size: {"message": {"id": "m", "parts": [1] * (size // 3), "sent_at": "x"}},
    ),
    "a send's text": (a_send, lambda size: "@." * (size // 2)),
    "a send's address": (a_send, lambda size: "https://" + "a" * size + " "),
    "a reply's sentences": (split_text, lambda size: "a! " * (size // 3)),
    "a reply's words": (split_text, lambda size: "a " * (size // 2)),
    "a reply's letters": (split_text, lambda size: "a" * size),
    "a reply's marks": (split_text, lambda size: "x" + "\u0301" * size),
    "a reply's addresses": (split_text, lambda size: "https://a.b " * (size // 12)),
    "a reply's addresses in brackets": (split_text, lambda size: "(http://a)" * (size // 10)),
    "a reply's brackets": (split_text, lambda size: "https://a" + ")" * size),
    "a stream's sentences": (streamed, lambda size: f"A {'b' * 200}! " * (size // 204)),
    "a stream's items": (streamed, lambda size: f"- {'a' * 200}\n" * (size // 203)),
    "a reply's styles": (markdown, lambda size: f"**{'a' * 100}** " * (size // 105)),
    "a stored call": (Call.from_json, lambda size: SEND.with_key("a" * size).to_json()),
    "a stored error": (read_error, lambda size: stored_error("x" * size, ErrorDetails(text='\n"' * size))),
}


@pytest.mark.slow
def test_a_decoder_reads_outside_input_in_linear_time(subtests: pytest.Subtests) -> None:
    for name, decoder in DECODERS.items():
        with subtests.test(name=name):
            is_linear(*decoder)


# --- texts of people and models ---------------------------------------------------------------------------------------

UNITS = [
    *("a", " ", "\n", "*", "_", "~", "`", "[", "](", "![", "(", "<", ">", "|", "#", "\\", "&", "@", "!", "?"),
    *("…", "。", "\t"),
    *("a ", "a\n", "a\n\n", "\\\n", "  \n", "    a\n", "\r\n", "\u2028", "A. ", "a. ", "1. ", "mr. ", "e.g. "),
    *("*a. ", "a! 😀 "),
    *("- a\n", "- - a\n", "- a\n  ", "1. a\n", "> ", "> a\n", "# a\n", "***\n", "===\n", "```\n", "```a\n"),
    *("|a|\n", "a|b\n-|-\n"),
    *("**a", "*a*", "a_", "_a", "~~a~~", "`a`", "``", "**a** b", "[a](b)", "[a](http://b) ", "![a](b)", "(["),
    *("http://", "https://a ", "http://a.b/(", "http://a_b*", "<http://a>", "<a@b>", "httphttp://", "+1 "),
    *("tel:", "&amp;"),
    *("\u200d", "\u0301", "\u0915\u094d", "\u1100", "🇫🇷", "🇫", "👩\u200d👧 ", "😀", "a.\u200b", "\ud83d"),
    # Not dense, so that they are read as Markdown at any length.
    *(f"*{letter}*{letter * 10}" for letter in ("\u1100", "\u0915\u094d", "\u200d", "🇫", "a\u0301")),
    *("*a. bcdefghijklm ", "[a. bcdefghijklm ", "* abcdefghijkl\n", "|abcdefghijkl|\n"),
    *("*a https://a.example. "),
]
SMALL = 500


def many_styles(text: str) -> object:
    return StyledText(text, tuple(Style(at, at + 2, "bold") for at in range(0, len(text) - 2, 3))).part()


def filtered(text: str) -> object:
    body = received(parts=[{"type": "text", "value": text}])
    event = parse(Delivery.from_webhook(body, webhook_id="w", received_at=0.0))
    assert isinstance(event, MessageReceived)
    return [fits(event) for fits in (exact("hi"), contains("menu"), mentions_bot, replies_to_bot)]


def forgotten(text: str) -> object:
    body = received(parts=[{"type": "text", "value": text}], sender={"handle": "+15551234567"})
    person = Person("+15551234567", [])

    return person.is_named_in(body)


def naming(text: str) -> object:
    body = received(parts=[{"type": "text", "value": text}], sender={"handle": "+15551234567"}, note=text)
    return people.candidates_in(body), people.handles_in(decode(body)), people.chats_in(decode(body))


READERS: dict[str, Callable[[str], object]] = {
    "a reply of Markdown": lambda text: bubbles([markdown(text)]),
    "a first reply of Markdown": lambda text: bubbles([markdown(text)], opens_chat=True),
    # Longer texts, because one of 1,500 characters is not cut.
    "a reply": lambda text: bubbles([4 * text], service="SMS", opens_chat=True),
    "a reply with many styles": many_styles,
    "a stream of Markdown": lambda text: streamed(text, size=4),
    "a stream of Markdown at once": streamed,
    "a stream of plain text": lambda text: streamed(text, size=4, is_markdown=False),
    "filters": filtered,
    "the loop breaker": lambda text: gist_of_message(text, [text[: len(text) // 2]]),
    "forgetting": forgotten,
    "the index of people": naming,
}


def steps(run: Callable[[str], object], text: str) -> int:
    """Return the number of lines of Python that run."""
    count = 0

    def trace(_frame: object, event: str, _given: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_text_is_read_in_steps_that_grow_with_its_length(name: str) -> None:
    run = READERS[name]
    run("Imports what is imported at the first use: **a** https://a.example")
    # A reply is cut in few places, so the steps of a short one grow in leaps.
    small = 2 * SMALL if name == "a reply" else SMALL
    found = {}
    for unit in UNITS:
        few, many = (steps(run, (unit * size)[:size]) for size in (small, 4 * small))
        if many > 6 * few + 1000:  # 4 is linear, 16 is quadratic
            found[unit] = (few, many)
    assert not found
