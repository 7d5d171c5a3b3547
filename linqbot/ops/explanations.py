"""What every code means that a person can meet: ours (`LQB…`), Linq's numbers, Linq's rules. Looked up, not told here.

Our sentences stand in the errors' docstrings, where whoever raises one reads them; Linq's in `linqbot.rules`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from linqbot.errors import LinqbotError
from linqbot.ops.doctor.codes import CODES

ERRORS_LIVE_IN: Final = (
    "linqbot.errors",
    "linqbot.cli.failure",
    "linqbot.client.http.media_fetch",
    "linqbot.events.parse",
    "linqbot.ops.bot_file",
    "linqbot.ops.rotation",
)
"""The modules that define an `lqb`, those that import little first. A test finds one that is missing here."""

_PARAGRAPHS = re.compile(r"\n\s*\n|\n(?=(?:Why|To do|[A-Z][a-z]+):)")


@dataclass(frozen=True, slots=True)
class Explanation:
    """A code in words.

    Attributes:
        code: `LQB2001`, `2024` or `R14`.
        name: The error's class for ours, `HTTP 403` for Linq's, empty where there is none.
        means, why, to_do: What it means, why it comes, what to do.
        link: Linq's page about it; empty for ours.
    """

    code: str
    name: str
    means: str
    why: str
    to_do: str
    link: str = ""

    @property
    def summary(self) -> str:
        """The first sentence of what it means."""
        return first_sentence(self.means)[0]


def of_error(kind: type[LinqbotError]) -> Explanation:
    """What the docstring of an error's class says."""
    means, told = "", {"Why": "", "To do": ""}
    for paragraph in _PARAGRAPHS.split(inspect.getdoc(kind) or ""):
        words = " ".join(paragraph.split())
        head, colon, rest = words.partition(": ")
        if colon and head in told:
            told[head] = rest
        elif not means:
            means = words
    return Explanation(kind.lqb, kind.__name__, _plain(means), _plain(told["Why"]), _plain(told["To do"]))


def of_ours(wanted: str = "") -> Mapping[str, Explanation]:
    """Our own codes. Imports the rooms that raise them, until it knows the one that is `wanted`."""
    found: dict[str, Explanation] = {}
    for module in ERRORS_LIVE_IN:
        importlib.import_module(module)
        for kind in _family(LinqbotError):
            # One without a code of its own goes by its parent's; a plugin's are not ours to explain.
            if "lqb" in vars(kind) and kind.__module__.startswith("linqbot."):
                found.setdefault(kind.lqb, of_error(kind))
        if wanted in found:
            break
    # What the doctor names is raised by nobody.
    found |= {code: Explanation(code, "linqbot doctor", f.means, f.why, f.fix()) for code, f in CODES.items()}
    return dict(sorted(found.items()))


def of_linq() -> Mapping[str, Explanation]:
    """Linq's numbers."""
    from linqbot.rules.codes import CODES, page

    return {
        str(number): Explanation(
            str(number),
            f"HTTP {code.status}" if code.status else "in webhooks",
            code.meaning,
            code.why,
            code.to_do,
            page(number),
        )
        for number, code in CODES.items()
    }


def of_rules() -> Mapping[str, Explanation]:
    """Linq's rules."""
    from linqbot.rules.book import RULES

    return {
        name: Explanation(name, "", rule.says, _answered(rule.answer), _kept(rule.answer), rule.source)
        for name, rule in RULES.items()
    }


def _answered(answer: str) -> str:
    if not answer:
        return "It is how Linq works; no call is refused for it."
    said = answer.rstrip("~")
    reading = " Linq's documents do not name this answer; it is what linqbot's emulator gives." if "~" in answer else ""
    return f"A call that breaks it is answered {said}.{reading}"


def _kept(answer: str) -> str:
    if not answer:
        return "Nothing."
    code = answer.rstrip("~").partition("/")[2]
    return (
        "Change what the message names. linqbot refuses such a call before it is sent, where the call alone shows it. "
        f"More about the answer: linqbot explain {code}"
    )


def everything() -> Mapping[str, Explanation]:
    """All there is: ours, Linq's numbers, Linq's rules."""
    return {**of_ours(), **of_linq(), **of_rules()}


def look_up(asked: str) -> list[Explanation]:
    """What somebody means by `asked`: a code in any case, an error's class, `403/2024` as messages show it, or a status.

    Raises:
        LookupError: there is nothing like it; its argument is a sentence that says what is near.
    """
    key = asked.strip().strip("[]").upper()
    linqs = {**of_linq(), **of_rules()}
    if found := linqs.get(key) or linqs.get(key.rpartition("/")[2]):
        return [found]
    if re.fullmatch(r"[1-5]\d\d", key) and (same := [each for each in linqs.values() if each.name == f"HTTP {key}"]):
        return same
    if found := of_ours(wanted=key).get(key):
        return [found]
    known = {**of_ours(), **linqs}
    by_name = {each.name.upper(): each for each in known.values()}
    if found := by_name.get(key):
        return [found]
    near = difflib.get_close_matches(key, [*known, *by_name], n=6)
    # Two digits the other way round are the likeliest slip, and no nearer than others to difflib.
    near.sort(key=lambda each: sorted(each) != sorted(key))
    names = [by_name[each].name if each in by_name else each for each in near[:3]]
    hint = f"Did you mean {' or '.join(names)}?" if names else "All there are: linqbot explain"
    raise LookupError(f"There is no code {asked}. {hint}")


def first_sentence(text: str) -> tuple[str, str]:
    """A text's first sentence, and what follows it.

    A full stop ends a sentence when a capital, a quote or a command follows; the one in `bot.py is` does not.
    """
    found = re.search(r"[.?!…](?=\s+[A-Z\"'`(])", text)
    return (text[: found.end()], text[found.end() :].strip()) if found else (text, "")


def _family(kind: type[LinqbotError]) -> list[type[LinqbotError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _family(child))]


def _plain(words: str) -> str:
    return words.replace("`", "")
