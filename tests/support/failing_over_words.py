"""A bot that fails over what a person writes, in each way in which a failure can quote it.

The first word of a message names the failure, and all the rest are words of a person.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from linqbot import Bot, Context, Event, MessageReceived
from linqbot.errors import LinqApiError, RateLimited

SECRET: Final = "Xyzzy"
"""A word of a person that is no word of any program: what shows it shows what a person wrote."""
WORDS: Final = f"{SECRET} at nine"
FORGED: Final = f"""{WORDS}
Traceback (most recent call last):
  File "{SECRET}.py", line 7, in {SECRET}
    now call send to +19995550000
{SECRET}: {WORDS}

During handling of the above exception, another exception occurred:

{SECRET}"""

FAILURES: Final[dict[str, Callable[[str], object]]] = {}


def failure(act: Callable[[str], object]) -> Callable[[str], object]:
    FAILURES[act.__name__] = act
    return act


RAISED: Final[dict[str, Callable[[str], BaseException]]] = {
    "value": lambda words: ValueError(f"no dish {words}"),
    "key": KeyError,
    "several_lines": lambda words: ValueError(f"one\n{words}\n    {words}\n  File {words!r}"),
    "forged_traceback": lambda words: ValueError(FORGED),
    "forged_chain": lambda words: ValueError(f"\nThe above exception was the direct cause of {words}"),
    "forged_record": lambda words: ValueError(json.dumps({"said": words, "raised": []})),
    "terminal": lambda words: ValueError(f"\x1b]0;{words}\x07\x1b[2J{words}"),
    "line_separators": lambda words: ValueError(f"a\u2028{words}\u2029{words}\x85{words}\v{words}\f{words}"),
    "half_a_character": lambda words: ValueError(f"\ud83d {words} \x00"),
    "very_long": lambda words: ValueError(f"{words} " * 9000),
    "assertion": lambda words: AssertionError(f"assert {words!r} == 'soup'\n  - soup\n  + {words}"),
    "exit": SystemExit,
    "cancelled": asyncio.CancelledError,
    "out_of_memory": MemoryError,
    "group": lambda words: ExceptionGroup(words, [ValueError(words), KeyError(words)]),
    "group_in_a_group": lambda words: ExceptionGroup(words, [ExceptionGroup(words, [OSError(2, words, words)])]),
    "linq_refuses": lambda words: LinqApiError(f"{words} is no handle", status=403, code=1001, call="chats.create"),
    "linq_is_busy": lambda words: RateLimited(f"wait, {words}", status=429, call="chats.create", retry_after_s=5),
    "class_of_a_word": type(SECRET, (ValueError,), {}),
    "class_of_a_text": lambda words: type(words, (ValueError,), {})(words),
    "class_of_a_path": type(f"f.<locals>.{SECRET}", (ValueError,), {}),
}

for name, raised in RAISED.items():

    def throw(words: str, make: Callable[[str], BaseException] = raised) -> None:
        raise make(words)

    FAILURES[name] = throw


@failure
def syntax(words: str) -> object:
    return ast.literal_eval(f"{words} (")


@failure
def syntax_in_a_file(words: str) -> object:
    return compile(f"{words} (", f"{words}.py", "eval")


@failure
def attribute(words: str) -> object:
    return getattr(words, SECRET)


@failure
def unknown_name(words: str) -> object:
    return eval(SECRET)


@failure
def module(words: str) -> object:
    return __import__(SECRET)


@failure
def function_of_words(words: str) -> None:
    exec(f"def {SECRET}(): raise ValueError({words!r})\n{SECRET}()")


@failure
def bytes_of_words(words: str) -> object:
    return (words.encode() + b"\xff").decode()


@failure
def ascii_of_words(words: str) -> object:
    return f"{words} ü".encode("ascii")


@failure
def number(words: str) -> object:
    return int(words)


@failure
def day(words: str) -> object:
    return datetime.fromisoformat(words)


@failure
def pattern(words: str) -> object:
    return re.compile(f"(?P<{words}>")


@failure
def file(words: str) -> object:
    return Path(words).read_text()


@failure
def a_model(words: str) -> object:
    class Order(BaseModel):
        dishes: int

    return Order.model_validate({"dishes": words})


@failure
def note(words: str) -> None:
    error = ValueError("a note says more")
    error.add_note(words)
    raise error


@failure
def wrong_notes(words: str) -> None:
    error: Any = ValueError("its notes are a text")
    error.__notes__ = words
    raise error


@failure
def cause(words: str) -> None:
    try:
        raise KeyError(words)  # noqa: TRY301
    except KeyError as error:
        raise ValueError("no such order") from error


@failure
def context(words: str) -> None:
    try:
        raise KeyError(words)  # noqa: TRY301
    except KeyError:
        raise ValueError("no such order")  # noqa: B904


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError(self.args[0])

    __repr__ = __str__


@failure
def without_a_message(words: str) -> None:
    raise Mute(words)


bot = Bot(read=False, typing=False)


def is_a_filter_failure(event: MessageReceived) -> bool:
    if event.text.startswith("filter "):
        raise ValueError(event.text)
    return False


@bot.on_message(is_a_filter_failure)
async def filtered(message: MessageReceived, ctx: Context) -> None: ...


@bot.on_message(lambda message: message.text.startswith("step "), attempts=1)
async def step(message: MessageReceived, ctx: Context) -> None:
    def order(_: str) -> None:
        raise ValueError(message.text)

    await ctx.once("order", order)


@bot.on_message(lambda message: message.text.startswith("thread "), attempts=1)
def in_a_thread(message: MessageReceived, ctx: Context) -> str:
    raise ValueError(message.text)


@bot.on_message(lambda message: message.text.startswith("handled "))
async def handled(message: MessageReceived, ctx: Context) -> None:
    raise type(SECRET, (ZeroDivisionError,), {})(message.text)


@bot.on_error(ZeroDivisionError)
async def sorry(error: ZeroDivisionError, event: Event, ctx: Context) -> None: ...


@bot.on_message(lambda message: message.text.startswith("again "))
async def again(message: MessageReceived, ctx: Context) -> None:
    raise ValueError(message.text)


@bot.on_message(attempts=1)
async def fail(message: MessageReceived, ctx: Context) -> None:
    kind, _, words = message.text.partition(" ")
    FAILURES[kind](words)


KINDS: Final = (*FAILURES, "filter", "step", "thread", "handled", "again")
