"""The card of a judged bot, and its forms: for people in a terminal, JSON for programs, JUnit XML for CI."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

import click

from linqbot.cli.output import printable, printable_lines
from linqbot_dev.judge.judging import PromiseLine
from linqbot_dev.judge.play import StoryLine
from linqbot_dev.judge.promises import PROMISES

_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COLOURS: Final = {"kept": "green", "broken": "red", "not tried": "yellow"}


@dataclass(frozen=True)
class PromiseCard:
    """The promises that a bot has kept, and those that it has not.

    Attributes:
        bot: The command or the address of the bot.
        lines: One for each promise, in the order of `PROMISES`.
    """

    bot: str
    lines: Sequence[PromiseLine]

    @property
    def is_good(self) -> bool:
        """True if nothing was broken."""
        return not any(line.verdict == "broken" for line in self.lines)

    @property
    def summary(self) -> str:
        """The number of promises of each verdict, in words."""
        counts = Counter(line.verdict for line in self.lines)
        return ", ".join(f"{counts[verdict]} {verdict}" for verdict in _COLOURS if counts[verdict])

    def as_json(self) -> dict[str, Any]:
        return {
            "bot": self.bot,
            "good": self.is_good,
            "promises": [
                {
                    "promise": line.promise,
                    "words": PROMISES[line.promise],
                    "verdict": line.verdict,
                    "why": line.why,
                    "trial": line.trial,
                    "broken_times": line.times[0],
                    "made_times": line.times[1],
                    "story": [
                        {"s": seconds, "chat": each.chat, "by": by_of(each), "text": each.text}
                        for seconds, each in timed(line.story)
                    ],
                }
                for line in self.lines
            ],
        }

    def junit(self) -> bytes:
        """Return the card as JUnit XML, with a test case for each promise."""
        counts = Counter(line.verdict for line in self.lines)
        suite = ET.Element("testsuite", name=_xml(f"linqbot judge {self.bot}"), tests=str(len(self.lines)), errors="0")
        suite.set("failures", str(counts["broken"]))
        suite.set("skipped", str(counts["not tried"]))
        for line in self.lines:
            case = ET.SubElement(suite, "testcase", classname="judge", name=PROMISES[line.promise], time="0")
            if line.verdict == "broken":
                failure = ET.SubElement(case, "failure", type=line.promise, message=_xml(line.why))
                failure.text = _xml("\n".join(story_lines(line.story)))
            elif line.verdict == "not tried":
                ET.SubElement(case, "skipped", message=_xml(line.why))
        suites = ET.Element("testsuites")
        suites.append(suite)
        ET.indent(suites)
        text: str = ET.tostring(suites, encoding="unicode")
        return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()

    def print(self) -> None:
        """Print the card for people."""
        click.echo(printable(f"{self.bot}: {self.summary}"))
        click.echo()
        for line in self.lines:
            verdict = click.style(f"{line.verdict:<10}", fg=_COLOURS[line.verdict])
            why = f" ({line.why})" if line.verdict == "not tried" else ""
            click.echo(f"  {verdict} {PROMISES[line.promise]}{printable(why)}")
            if line.verdict == "broken":
                click.echo(f"{'':13}{printable(line.why)}")
                click.echo(f"{'':13}{line.trial}, {line.times[0]} of {line.times[1]} times:")
                for each in story_lines(line.story):
                    click.echo(printable_lines(f"{'':15}{each}"))


def timed(story: Sequence[StoryLine]) -> Iterator[tuple[float, StoryLine]]:
    """Yield each line of a story with the seconds since its first one."""
    return ((round(each.at - story[0].at, 1), each) for each in story)


def by_of(line: StoryLine) -> str:
    """Return the word for who acts: `person`, `bot` or `judge`."""
    return "judge" if line.chat is None else "bot" if line.by_bot else "person"


def story_lines(story: Sequence[StoryLine]) -> list[str]:
    """Return a story as text, a line for each of its lines."""
    names = {
        id(each): "" if each.chat is None else f"bot to {each.chat}" if each.by_bot else each.chat for each in story
    }
    width = max(map(len, names.values()), default=0)
    return [
        f"{seconds:>5} s  ({each.text})"
        if each.chat is None
        else f"{seconds:>5} s  {names[id(each)]:<{width}}  {each.text}"
        for seconds, each in timed(story)
    ]


def _xml(text: str) -> str:
    return _NO_XML.sub("�", text)
