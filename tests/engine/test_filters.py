from __future__ import annotations

import pydoc
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fakes import LINE, PERSON, message

from linqbot import Bot, BotError, Context, Event, MessageEdited, MessageReceived, ReactionAdded
from linqbot.engine.filters import (
    Filter,
    contains,
    exact,
    from_handle,
    has_link,
    has_media,
    in_direct,
    in_group,
    mentions_bot,
    regex,
    replies_to_bot,
    to_line,
)
from linqbot.linq.events.chat import TypingStarted
from linqbot.linq.events.message import MessageFailed, MessageSent


def test_exact_ignores_case_surrounding_space_and_the_marks_at_the_end() -> None:
    words = exact("hi", "hello", "straße", "why?", "?")
    marked = ["Hi!", "hello...", "hi …", "Hello\u202f!", "hi！", "¡Hi!", "Why?", "?"]
    fitting = ["hi", "  HI\n", "Hello", "STRASSE", *marked]
    assert [text for text in fitting if not words(message(text))] == []
    # A mark that the bot's author has written is wanted.
    other = ["why", "why??", "!", "??", "", "hi there!", "!hi", "hi, hello"]
    assert [text for text in other if words(message(text))] == []


def test_curly_quotes_of_an_iphone_and_letters_in_two_characters_are_the_same() -> None:
    assert exact("what's on")(message("What’s on?"))
    assert exact("What’s on")(message("what's on"))
    assert contains('"café"')(message("the “cafe\u0301”"))
    turkish = exact("İstanbul", "ışık", "żur")
    assert all(turkish(message(text)) for text in ("istanbul", "ISTANBUL", "İSTANBUL", "IŞIK", "Żur", "zur", "isik"))


def is_short(message: MessageReceived) -> bool:
    return len(message.text) < 4


MENTION = {"mentions": [{"handle": LINE, "is_me": True, "range": [0, 5]}]}
TO_ME = message("@Linq, Hi", is_group=True, part=MENTION)
PICTURE = message(parts=[{"type": "media", "id": "m", "mime_type": "image/png", "url": "https://x.test/a.png"}])
LINK = message(parts=[{"type": "link", "value": "https://x.test"}])
GROUP = message(is_group=True)
UNKNOWN = message().model_copy(update={"is_group": None})
REPLY = GROUP.model_copy(update={"replies_to_me": True})
ANN = message(sender="ann@example.COM")
FITS: list[tuple[Filter[Any], list[MessageReceived], list[MessageReceived]]] = [
    # the filter; messages that fit; messages that do not
    (exact("hi"), [TO_ME], [message("hi there")]),
    (contains("menu", "card"), [message("Show me the MENU")], [message()]),
    (contains("x") | contains("h"), [message("hello")], [message("me")]),
    (~contains("x"), [message("hello")], [message("x")]),
    (in_direct & (lambda event: event.text == "hello"), [message("hello")], [message("hi"), GROUP]),
    (is_short | contains("long"), [message("hi"), message("a long text")], [message("another text")]),
    (contains("long") | is_short, [message("hi"), message("a long text")], [message("another text")]),
    (is_short & contains("h"), [message("hi")], [message("he is tall"), message("me")]),
    (contains("h") & is_short, [message("hi")], [message("he is tall"), message("me")]),
    (~Filter(is_short), [message("a long text")], [message("hi")]),
    (in_group, [GROUP], [message(), UNKNOWN]),
    (in_direct, [message()], [GROUP, UNKNOWN]),
    (from_handle(PERSON), [message()], [ANN]),
    (from_handle("Ann@Example.com"), [ANN], [message()]),
    (to_line("+12052535597"), [message()], [message().model_copy(update={"line": None})]),
    (to_line("+12025550100", "+12025550101"), [], [message()]),
    (has_media, [PICTURE], [LINK, message()]),
    (has_link, [LINK], [PICTURE, message()]),
    (mentions_bot, [TO_ME], [GROUP]),
    (replies_to_bot, [REPLY], [GROUP]),
]


def test_a_filter_fits_what_it_says(subtests: pytest.Subtests) -> None:
    for each, fitting, other in FITS:
        with subtests.test(filter=each.name):
            assert [one for one in fitting if not each(one)] == []
            assert [one for one in other if each(one)] == []


def anything(message: MessageReceived) -> bool:
    return True


def test_and_keeps_the_match_of_a_regular_expression_on_either_side() -> None:
    number = regex(r"order #?(?P<id>\d+)")
    for combined in (number, in_direct & number, number & in_direct, anything & number):
        match = combined(message("Where is Order #42?"))
        assert isinstance(match, re.Match)
        assert match["id"] == "42"


def test_a_filter_has_a_readable_name() -> None:
    assert repr(in_group & ~contains("x")) == "<filter (in_group & ~contains('x'))>"
    assert (is_short | contains("x")).name == "(is_short | contains('x'))"
    assert Filter(is_short).name == "is_short"


def test_filters_do_not_combine_with_and_or_and_not() -> None:
    with pytest.raises(BotError, match="Combine filters with &"):
        bool(in_direct and in_group)
    with pytest.raises(BotError, match="Combine filters with &"):
        _ = not in_direct


@pytest.mark.parametrize(
    "written", ["4155550142", "+1 (415) 555-0142", "", "ann@example", 14155550142, ["+14155550142"]]
)
def test_a_handle_that_no_person_can_have_is_refused_with_the_right_form(written: Any) -> None:
    makers: dict[str, Callable[[], object]] = {
        "from_handle": lambda: from_handle("+14155550143", written),
        "to_line": lambda: to_line("+14155550143", written),
        "Bot": lambda: Bot(allow=["+14155550143", written]),
    }
    for option, make in makers.items():
        with pytest.raises(BotError, match=r"can never match .* E\.164 is a plus, the country code") as refused:
            make()
        assert str(refused.value).startswith(f"{option}(")


def test_senders_that_are_no_phone_are_taken() -> None:
    senders = ["ann@example.com", "262966", "Parcels"]
    from_handle(*senders)
    Bot(allow=senders)


@pytest.mark.parametrize(
    ("event", "unfit", "says"),
    [
        (ReactionAdded, replies_to_bot, "replies_to_bot does not fit a handler of ReactionAdded: it is for MessageRec"),
        (
            MessageEdited,
            mentions_bot,
            "mentions_bot does not fit a handler of MessageEdited: it is for MessageReceived.",
        ),
        (ReactionAdded, contains("x"), "it is for MessageEvent and MessageEdited."),
        (ReactionAdded, in_group & ~has_link, "(in_group & ~has_link) does not fit a handler of ReactionAdded"),
        (Event, has_media, "has_media does not fit a handler of Event: it is for MessageEvent."),
        (TypingStarted, regex("x"), "regex('x') does not fit a handler of TypingStarted"),
    ],
)
def test_a_filter_for_other_events_is_refused_at_once(event: type[Event], unfit: Filter[Any], says: str) -> None:
    with pytest.raises(BotError) as refused:
        Bot().on(event, unfit)
    assert says in str(refused.value)


def test_a_filter_fits_every_event_that_has_what_it_looks_at() -> None:
    bot = Bot()
    bot.on(Event, in_group, from_handle("+14155550142"))
    bot.on(ReactionAdded, in_direct, to_line("+12052535597"))
    bot.on(MessageReceived, in_group & has_media, replies_to_bot | contains("x"))
    bot.on(MessageEdited, contains("x") & in_direct)
    bot.on(MessageSent, has_media, contains("x"))  # type: ignore[arg-type]


def test_a_filter_of_an_author_may_keep_other_events_from_the_next_filter() -> None:
    def is_message(event: Event) -> bool:
        return isinstance(event, MessageReceived)

    bot = Bot()
    bot.on(Event, is_message, has_media)  # type: ignore[arg-type]
    bot.on(Event, is_message & has_media)  # type: ignore[arg-type]
    with pytest.raises(BotError, match="has_media does not fit a handler of ReactionAdded"):
        bot.on(ReactionAdded, is_message, has_media)  # type: ignore[arg-type]


def test_a_filter_of_an_author_may_name_its_events() -> None:
    has_code: Filter[Any] = Filter(lambda failure: failure.code is not None, "has_code", events=(MessageFailed,))
    Bot().on(MessageFailed, has_code)
    with pytest.raises(BotError, match="has_code does not fit a handler of MessageReceived: it is for MessageFailed"):
        Bot().on_message(has_code)


def test_help_of_a_filter_says_what_fits() -> None:
    for each in (in_group, in_direct, has_media, has_link, mentions_bot, replies_to_bot):
        shown = pydoc.plain(pydoc.render_doc(each))
        assert "Fit if the " in shown
        assert "which can be combined" not in shown


async def takes_time(event: Any) -> bool:
    return True


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("hi", "'hi' is not a filter. A filter is a plain function of one argument, the event. For a text, write exact('hi')"),
        (contains, "contains alone is not a filter: it makes one. Write contains(…)."),
        (regex, "regex alone is not a filter: it makes one. Write regex(…)."),
        (ReactionAdded, "A handler for the events of a class is registered with @bot.on(ReactionAdded)."),
        (str, "str is not a filter."),
        (lambda: True, "is not a filter."),
        (lambda event, ctx: True, "is not a filter."),
        (takes_time, "what must await is an async def of (event, ctx), given as when=."),
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_alone_and_in_a_combination(given: Any, says: str) -> None:
    uses: list[Callable[[], object]] = [
        lambda: Bot().on(MessageReceived, given),
        lambda: Bot().on(MessageReceived, in_direct, given),
        lambda: in_direct & given,
        lambda: in_direct | given,
        lambda: given & in_direct,
        lambda: given | in_direct,
    ]
    for use in uses:
        with pytest.raises(BotError, match=re.escape(says)):
            use()


def misused(maker: Any) -> None:
    """Register a handler with a maker of filters whose parentheses are missing."""

    async def answer(message: MessageReceived, ctx: Context) -> None: ...

    bot: Any = Bot()
    bot.on_message(maker)(answer)


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (exact, "with no words can never match"),
    (lambda: exact(" "), "with no words can never match"),
    (contains, "needs at least one word"),
    (lambda: contains(""), "needs at least one word"),
    (lambda: regex("("), "regex"),
    (from_handle, "needs at least one"),
    (to_line, "needs at least one"),
    (lambda: to_line("ann@example.com"), "can never match 'ann@example.com': a line is a phone number"),
    *((partial(misused, maker), "alone is not a filter: it makes one") for maker in (contains, regex, from_handle)),
    (lambda: contains(["a", "b"]), "contains() takes texts, not ['a', 'b']. Write contains("),  # type: ignore[arg-type]
    (lambda: exact(5), "exact() takes texts, not 5. Write exact("),  # type: ignore[arg-type]
    (lambda: regex(5), 'regex() takes a pattern, not 5. Write regex(r"order'),  # type: ignore[arg-type]
    (lambda: regex(re.compile(b"x")), "regex() takes a pattern, not re.compile(b'x')."),  # type: ignore[arg-type]
]


def test_what_a_filter_cannot_look_for_is_refused_in_words(subtests: pytest.Subtests) -> None:
    for make, says in MISTAKES:
        with subtests.test(says=says), pytest.raises(BotError, match=re.escape(says)):
            make()
