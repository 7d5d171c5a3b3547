"""Deploys while a question is open: an answer belongs to its own question, and a time to its part of the conversation.

A conversation asks for a name, for a booking with a form, reads the time, and asks for a note. Its questions are in the handler's
own file, in a module that this file imports, or in a data file. After each of its answers, code is deployed in which a question
was added, removed, renamed or moved. The person answers whatever is asked, each question in its own words, five hours later each time.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asking_talk import Talk
from fakes import text_body
from simulated_crash import begun
from structlog.testing import capture_logs

from linqbot.events import Delivery

PAUSE_S = 5 * 3600
WORDS = {
    "name": "What is your name?",
    "mail": "What is your e-mail address?",
    "when": "When do you come?",
    "people": "How many are you?",
    "note": "Anything else?",
}
ANSWERS = {
    "name": "Ann",
    "mail": "ann@example.com",
    "when": "tomorrow at 19:00",
    "people": "17",
    "note": "By the window",
}
WITH_FORM = ("name", "form", "now", "note")
PLAIN = ("name", "when", "now", "people", "note")


@dataclass(frozen=True)
class Code:
    """Questions in order; `form` is a form of `fields`, and `now` reads the time. `renamed` has the questions with new words."""

    steps: tuple[str, ...]
    fields: tuple[str, ...] = ("when", "people")
    renamed: tuple[str, ...] = ()

    @property
    def after_now(self) -> str | None:
        """The old question that follows the reading of the time."""
        behind = self.steps[self.steps.index("now") + 1 :] if "now" in self.steps else ()
        return next((name for name in behind if name != "mail"), None)

    def words(self, name: str) -> str:
        return WORDS[name].replace("?", ", please?") if name in self.renamed else WORDS[name]


def edits(code: Code) -> Iterator[tuple[str, Code]]:
    """Yield the code with a question added, removed, renamed or moved, at every place."""
    steps, fields = code.steps, code.fields
    for place in range(len(steps) + 1):
        yield f"mail added at {place}", replace(code, steps=(*steps[:place], "mail", *steps[place:]))
    for place, name in enumerate(steps):
        yield f"{name} removed", replace(code, steps=(*steps[:place], *steps[place + 1 :]))
        if name in WORDS:
            yield f"{name} renamed", replace(code, renamed=(name,))
    for place in range(len(steps) - 1):
        moved = (*steps[:place], steps[place + 1], steps[place], *steps[place + 2 :])
        yield f"{steps[place]} moved behind {steps[place + 1]}", replace(code, steps=moved)
    if "form" in steps:
        for place in range(len(fields) + 1):
            yield f"field mail added at {place}", replace(code, fields=(*fields[:place], "mail", *fields[place:]))
        yield "fields moved", replace(code, fields=fields[::-1])
        yield "field when renamed", replace(code, renamed=("when",))
        yield "field people removed", replace(code, fields=("when",))


INTAKE = """
import json
from datetime import datetime
from pathlib import Path
from pydantic import Field, create_model
from linqbot.parse import date_time

TYPES = {"when": datetime, "people": int}


def asked():
    return DATA


async def ask_all(ctx, reads):
    got = {}
    for name, words in asked():
        if name == "now":
            got["now"] = ctx.now().isoformat()
            reads.append(got["now"])
        elif name == "form":
            fields = {field: (TYPES.get(field, str), Field(description=asks)) for field, asks in words}
            model = create_model("Booking", **fields)
            got |= (await ctx.form(model, timezone="UTC")).model_dump(mode="json")
        elif name == "when":
            read = lambda text: date_time(text, timezone="UTC", now=ctx.now())
            got["when"] = (await ctx.ask(words, kind=read)).isoformat()
        else:
            got[name] = await ctx.ask(words)
    return got
"""
HANDLER = """
import json


async def book(message, ctx):
    got = await ask_all(ctx, reads)
    await ctx.reply(json.dumps(got))
"""
PLACES = ("handler's file", "module", "data file")
_versions = itertools.count()


def loaded(code: Code, place: str, folder: Path, reads: list[str]) -> Any:
    """Write the code of a bot into a folder, and return its handler."""
    fields = [[field, code.words(field)] for field in code.fields]
    data = [[name, fields if name == "form" else code.words(name) if name in WORDS else ""] for name in code.steps]
    path = folder / "questions.json"
    path.write_text(json.dumps(data))
    intake = INTAKE.replace(
        "DATA", f"json.loads(Path({str(path)!r}).read_text())" if place == "data file" else repr(data)
    )
    if place == "handler's file":
        return _module(folder, "thebot", intake + HANDLER, reads).book
    _module(folder, "intake", intake, reads)
    return _module(folder, "thebot", f"from intake import ask_all\n{HANDLER}", reads).book


def _module(folder: Path, name: str, source: str, reads: list[str]) -> Any:
    # In a file of its own: Python compares the times of files, of which two that are written in one second are equal.
    path = folder / f"v{next(_versions)}" / f"{name}.py"
    path.parent.mkdir()
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.reads = reads  # type: ignore[attr-defined]
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("thebot", "intake"):
        monkeypatch.setitem(sys.modules, name, None)


class Person:
    """Answers each question in its own words, and remembers when."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.wrote: dict[str, datetime] = {}

    @property
    def is_asked(self) -> bool:
        return not self.talk.said or not self.talk.said[-1].startswith("{")

    async def answer(self) -> None:
        said = self.talk.said[-1]
        asked = next((name for name, words in WORDS.items() if said.startswith(words.removesuffix("?"))), None)
        self.talk.clock.advance(PAUSE_S)
        if asked is None:
            assert "Is this right?" in said, said
            await self.write("yes")
            return
        self.wrote[asked] = datetime.fromtimestamp(self.talk.clock.now(), UTC)
        await self.write(ANSWERS[asked])

    async def write(self, text: str) -> None:
        now = self.talk.clock.now()
        body = text_body(text, sent_at=datetime.fromtimestamp(now, UTC).isoformat())
        await self.talk.storage.put(Delivery.from_webhook(body, webhook_id=f"w{next(_versions)}", received_at=now))
        await self.talk.run()


async def booked(talk: Talk, folder: Path, place: str, old: Code, new: Code, *, point: int) -> list[str]:
    """Hold a conversation with a deploy after so many answers. Return what is wrong with its result."""
    reads: list[str] = []
    person = Person(talk)
    await talk.to(loaded(old, place, folder, reads), "book")
    for _ in range(point):
        await person.answer()
    if not person.is_asked:
        return []
    talk.deploy(loaded(new, place, folder, reads))
    with capture_logs() as logs:
        for _ in range(12):
            if person.is_asked:
                await person.answer()
    if person.is_asked:
        return [f"it never ends: {talk.said}"]
    result = json.loads(talk.said[-1])
    asked = {*new.steps, *(new.fields if "form" in new.steps else ())} - {"form", "now", "when"}
    wrong = [f"{name} is {result[name]}" for name in asked if str(result[name]) != ANSWERS[name]]
    if "when" in result:
        day = (person.wrote["when"] + timedelta(days=1)).date()
        if datetime.fromisoformat(result["when"]).date() != day:
            wrong.append(f"when is {result['when']}, not on {day}")
    # A time that is read at another place of the code may be another one.
    is_moved = {old.after_now, new.after_now} != {old.after_now}
    if "now" in result and not is_moved and reads[0] != result["now"]:
        wrong.append(f"now is {result['now']}, was {reads[0]}")
    quoted = [line for line in logs for answer in ANSWERS.values() if answer in map(str, line.values())]
    return [*wrong, *(f"logs {line}" for line in quoted)]


async def faults(cases: Iterable[tuple[str, Code, Code, str, int]], folder: Path) -> list[str]:
    found = []
    for what, old, new, place, point in cases:
        fresh = folder / f"run{next(_versions)}"
        fresh.mkdir()
        async with begun(Talk, fresh) as talk:
            wrong = await booked(talk, fresh, place, old, new, point=point)
        found += [f"{what}, {place}, after {point} answers: {each}" for each in wrong]
    return found


CASES = [(what, Code(steps), new) for steps in (WITH_FORM, PLAIN) for what, new in edits(Code(steps))]


async def test_no_answer_reaches_another_question_and_no_date_moves(tmp_path: Path) -> None:
    cases = ((*case, PLACES[n % 3], 1 + n % 4) for n, case in enumerate(CASES))
    found = await faults(cases, tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_the_same_at_every_point_of_the_conversation(tmp_path: Path, place: str) -> None:
    found = await faults(((*case, place, point) for case in CASES for point in range(5)), tmp_path)
    assert not found, "\n".join(found)
