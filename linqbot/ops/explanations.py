"""Explanations of all codes: linqbot's own (`LQB…`), Linq's error codes, and Linq's rules, collected from where they stand."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linqbot.errors import LinqApiError, LinqbotError, RuleBroken
from linqbot.frames import authors_frame
from linqbot.ops.check_codes import CODES

ERRORS_LIVE_IN: Final = (
    "linqbot.errors",
    "linqbot.cli.failure",
    "linqbot.linq.events.parse",
    "linqbot.ops.bot_file",
    "linqbot.ops.rotation",
)
"""The modules that define an `lqb`. A test fails if one is missing here."""

_PARAGRAPHS = re.compile(r"\n\s*\n|\n(?=(?:Why|To do|[A-Z][a-z]+):)")


@dataclass(frozen=True, slots=True)
class Explanation:
    code: str  # `LQB2001`, `2024` or `R14`
    name: str  # the error class for linqbot's codes, `HTTP 403` for Linq's; empty for rules
    means: str  # its meaning
    why: str  # its causes
    to_do: str  # what to do about it
    link: str = ""  # Linq's page about it; empty for linqbot's codes

    @property
    def summary(self) -> str:
        return first_sentence(self.means)[0]


def of_error(kind: type[LinqbotError]) -> Explanation:
    means, sections = "", {"Why": "", "To do": ""}
    for paragraph in _PARAGRAPHS.split(inspect.getdoc(kind) or ""):
        words = " ".join(paragraph.split())
        head, colon, rest = words.partition(": ")
        if colon and head in sections:
            sections[head] = rest
        elif not means:
            means = words
    return Explanation(kind.lqb, kind.__name__, _plain(means), _plain(sections["Why"]), _plain(sections["To do"]))


def of_ours() -> Mapping[str, Explanation]:
    for module in ERRORS_LIVE_IN:
        importlib.import_module(module)
    # A class without its own code has its parent's. Errors of plugins are not explained here.
    kinds = [each for each in _family(LinqbotError) if "lqb" in vars(each) and each.__module__.startswith("linqbot.")]
    # The codes of the doctor belong to no exception.
    of_check = [Explanation(code, "linqbot check", f.means, f.why, f.fix()) for code, f in CODES.items()]
    return {each.code: each for each in sorted([*map(of_error, kinds), *of_check], key=lambda each: each.code)}


def of_linq() -> Mapping[str, Explanation]:
    from linqbot.linq.rules.codes import CODES, page

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
    from linqbot.linq.rules.book import RULES

    return {
        name: Explanation(name, "", rule.says, _why_refused(rule.answer), _how_to_keep(rule.answer), rule.source)
        for name, rule in RULES.items()
    }


def _why_refused(answer: str) -> str:
    if not answer:
        return "This is how Linq works; no call is refused for it."
    code = answer.rstrip("~")
    note = " Linq's documentation does not name this answer; linqbot's emulator gives it." if "~" in answer else ""
    return f"Linq answers a call that breaks it with {code}.{note}"


def _how_to_keep(answer: str) -> str:
    if not answer:
        return "Nothing."
    code = answer.rstrip("~").partition("/")[2]
    return (
        "Correct the call as the message says. If the call alone shows the mistake, linqbot refuses it before sending it. "
        f"More about the answer: linqbot explain {code}"
    )


def everything() -> dict[str, Explanation]:
    return {**of_ours(), **of_linq(), **of_rules()}


def look_up(asked: str) -> list[Explanation]:
    """Return the explanations for what a person typed.

    Args:
        asked: A code in upper or lower case, the name of an error class, `403/2024` as in messages, or an HTTP status.
    Returns:
        One explanation; for an HTTP status, those of all codes with this status.
    Raises:
        LookupError: there is none. The message suggests similar codes.
    """
    key = asked.strip().strip("[]").upper()
    known = everything()
    of_status = [each for each in known.values() if each.name == f"HTTP {key}"]
    if of_status:
        return of_status
    by_name = {each.name.upper(): each for each in known.values() if each.name} | known
    if found := by_name.get(key) or by_name.get(key.rpartition("/")[2]):
        return [found]
    from difflib import get_close_matches  # `linqbot serve` imports this module too, and needs it never

    near = get_close_matches(key, by_name, n=6)
    # Two swapped digits are the most likely mistake, but difflib does not rank them first.
    near.sort(key=lambda each: sorted(each) != sorted(key))
    names = [each if each in known else by_name[each].name for each in near[:3]]
    hint = f"Did you mean {' or '.join(names)}?" if names else "List all codes with: linqbot explain"
    raise LookupError(f"There is no code {asked}. {hint}")


def of_raised(error: LinqbotError) -> tuple[str, str, str]:
    """Return what happened, in a sentence or some lines; what to do about it; and the most specific code to look up."""
    message = str(error)
    # A message of several lines holds a traceback or code to paste, and is not split into sentences.
    what, fix = (message, "") if "\n" in message else first_sentence(message)
    code, advice = _code_and_advice(error)
    return with_full_stop(_at_its_place(what, error)), fix or advice, code


def _at_its_place(what: str, error: LinqbotError) -> str:
    """Begin a sentence with the line of the author's code that caused the error, such as a wrong filter."""
    frame = authors_frame(error)
    if frame is None or "\n" in what:
        return what
    path = Path(frame.filename)
    with suppress(OSError, ValueError):  # the current folder may be gone, or elsewhere
        path = path.relative_to(Path.cwd())
    return f"{path}, line {frame.lineno}: {what}"


def _code_and_advice(error: LinqbotError) -> tuple[str, str]:
    if isinstance(error, LinqApiError) and error.code is not None:
        from linqbot.linq.rules.codes import CODES  # few errors need it

        if error.code in CODES:
            return str(error.code), CODES[error.code].to_do
    return error.rule if isinstance(error, RuleBroken) else error.lqb, of_error(type(error)).to_do


def with_full_stop(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!", "…")) or "\n" in sentence else f"{sentence}."


def first_sentence(text: str) -> tuple[str, str]:
    """Split a text into its first sentence and the rest.

    A full stop ends a sentence if a capital letter, a quote or a command follows. The one in `bot.py is` does not.
    """
    found = re.search(r"[.?!…](?=\s+[A-Z\"'`(])", text)
    return (text[: found.end()], text[found.end() :].strip()) if found else (text, "")


def _family(kind: type[LinqbotError]) -> list[type[LinqbotError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _family(child))]


def _plain(words: str) -> str:
    return words.replace("`", "")
