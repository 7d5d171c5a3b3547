"""A warning for a bot that offers words by which people opt out: STOP and its synonyms, alone in a direct chat (R69).

A message of such a word reaches no message handler, and `features/optout.py` ends what the bot still wanted to say in the
chat. The bot is warned when it is loaded.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from linqbot.bot.filters import TextFilter, in_group
from linqbot.bot.router import Router, written_calls
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.rules.message import OPT_OUT_WORDS
from linqbot.linq.text.sentences import is_one_of

_ASKING: Final = frozenset({"ask", "vote"})


def own_opt_outs(bot: Router) -> list[str]:
    """Return a sentence about each word that the bot offers to people and by which they may opt out instead.

    Looked at are the `exact` texts of message handlers, and the `cancel=` and the choices of questions, as far as they are
    written out in the modules of the handlers.
    """
    used: dict[str, str] = {}
    for route, _ in bot.walk():
        if issubclass(route.event, MessageReceived) and in_group not in route.filters:
            for word in (word for each in route.filters if isinstance(each, TextFilter) for word in each.words):
                used.setdefault(word.strip(), f"the handler at {route.at}")
    for word, place in _words_of_questions(bot):
        used.setdefault(word.strip(), place)
    return [
        f"The bot uses the word {word!r} ({place}). In a direct chat, a person who writes {word.upper()} opts out: no message "
        "handler runs, no question gets the answer, and Linq refuses the bot's messages."
        for word, place in used.items()
        if is_one_of(word, OPT_OUT_WORDS)
    ]


def _words_of_questions(bot: Router) -> Iterator[tuple[str, str]]:
    """Yield the words that end or answer questions, as the sources of the handlers have them, each with its place."""
    for call, module, at in written_calls(bot):
        if isinstance(call.func, ast.Attribute) and call.func.attr in _ASKING:
            given = {each.arg: each.value for each in call.keywords if each.arg in ("cancel", "choices")}
            if call.func.attr == "vote" and call.args:
                given["choices"] = call.args[0]
            for argument, value in given.items():
                for word in _texts_in(value, sys.modules[module]):
                    yield word, f"{argument}= of ctx.{call.func.attr} at {at}"


def _texts_in(value: ast.expr, module: ModuleType) -> list[str]:
    """Return the texts of a list that is written out, or that is a constant of the module."""
    found: Any = None
    if isinstance(value, ast.Name):
        found = getattr(module, value.id, None)
    elif isinstance(value, ast.List | ast.Tuple):
        found = [each.value for each in value.elts if isinstance(each, ast.Constant)]
    return [each for each in found if isinstance(each, str)] if isinstance(found, list | tuple) else []
