"""The questions about handlers and rules, answered from routes and rules alone, without a bot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fakes import PERSON, message

from linqbot.engine.bag import Bag
from linqbot.engine.failure import ChoiceFailed
from linqbot.engine.filters import Fit, exact, from_handle, muted
from linqbot.engine.handling import Handling, Rules
from linqbot.engine.routing import Route, RouteTable
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived

RULES = Rules(
    lambda event: True,
    "addressed",
    on_trouble=None,
    has_languages=False,
    answers_keywords=True,
    is_own_command=lambda text: text.startswith("#answer"),
)


NoActs: Any = type("NoActs", (Handling,), dict.fromkeys(Handling.__abstractmethods__))
"""Answers questions. An act cannot be called, because it is None."""


def route(name: str, *filters: Callable[[Any], Fit], handler: Callable[..., Any] = print, **options: Any) -> Route:
    return Route(MessageReceived, filters, handler, name, **options)


def handling(*routes: Route, rules: Rules = RULES) -> Handling:
    made: Handling = NoActs(RouteTable(routes), rules, Bag(), deadline_s=60.0, has_middleware=False)
    return made


def test_no_handler_is_known_for_a_message_that_the_rules_exclude_or_a_command() -> None:
    own = exact("off") & from_handle(PERSON)
    asked = handling(route("off", own, during_ask=True), route("all"))
    handlers = {text: asked.handler_for(message(text)) for text in ("hello", "off")}
    assert handlers == {"hello": "all", "off": None}
    assert asked.first_fit(message("off")) == "off"
    assert handling(route("all"), rules=replace(RULES, allow=lambda event: False)).handler_for(message("hello")) is None


def test_start_and_help_are_answered_unless_a_handler_for_the_word_gets_it() -> None:
    asked = handling(route("help", exact("help")), route("all"))
    assert [asked.takes_keyword(message(text)) for text in ("START", "HELP", "hello")] == [True, False, False]
    assert asked.takes_keyword(message("HELP").model_copy(update={"muted": True}))
    assert not handling(route("help", exact("help"), muted)).takes_keyword(
        message("HELP").model_copy(update={"muted": True})
    )
    assert not handling(rules=replace(RULES, answers_keywords=False)).is_keyword(message("HELP"))


def test_an_error_of_a_filter_or_of_allow_is_reported_as_one_of_the_choice() -> None:
    def failing(event: Event) -> bool:
        raise SystemExit("no such thing")

    asked = handling(route("first", failing, during_ask=True), rules=replace(RULES, allow=failing))
    for choose in (asked.allows, asked.has_side_handler):
        with pytest.raises(ChoiceFailed):
            choose(message())
    assert (asked.first_fit(message()), asked.may_reach_handler(message())) == (None, False)


def test_a_handler_for_exactly_a_text_is_tried_before_one_for_nearly_this_text() -> None:
    table = RouteTable([route("if", exact("si")), route("yes", exact("sí")), route("all")])
    assert [each.name for each in table.tried(message("sí"))] == ["yes", "if", "all"]
    assert [each.name for each in table.tried(message("si"))] == ["if", "yes", "all"]


def test_a_name_of_several_functions_is_known_and_the_first_one_counts() -> None:
    one, other = route("made"), route("made", handler=repr)
    table = RouteTable([one, other, route("alone")])
    assert table.named("made") is one
    assert [table.is_name_of_several(name) for name in ("made", "alone", "gone")] == [True, False, False]
