from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.filters import contains, exact, in_group, regex
from linqbot.bot.router import Middleware, Next, Router
from linqbot.clock import SystemClock
from linqbot.engine.failure import Failure
from linqbot.errors import BotError
from linqbot.hookspecs import Running
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived, ReactionAdded


def test_a_decorated_handler_is_still_the_same_function() -> None:
    bot = Bot()

    async def greet(message: MessageReceived, ctx: Context) -> None: ...

    assert bot.on_message(greet) is greet
    assert bot.on_message("hi")(greet) is greet


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (lambda: None, "takes 0 arguments"),
        (lambda event: None, "takes 1 argument;"),
        (lambda a, b, c: None, "takes 3 arguments"),
        ("hello", "must be a function"),
    ],
)
def test_a_handler_with_wrong_arguments_is_refused(handler: Any, says: str) -> None:
    with pytest.raises(BotError, match=says):
        Bot().on(MessageReceived)(handler)


def test_a_handler_with_wrong_arguments_is_refused_without_brackets_too() -> None:
    async def one(message: MessageReceived) -> None: ...
    async def three(message: MessageReceived, ctx: Context, extra: int) -> None: ...

    for handler in (one, three):
        with pytest.raises(BotError, match=rf"{handler.__name__} takes"):
            Bot().on_message(handler)  # type: ignore[arg-type]


def test_a_handler_written_for_another_event_is_refused() -> None:
    async def loved(reaction: ReactionAdded, ctx: Context) -> None: ...

    with pytest.raises(BotError, match=r"written for ReactionAdded but registered for MessageReceived.*@bot.on\(React"):
        Bot().on(MessageReceived)(loved)  # type: ignore[arg-type]


def test_a_handler_with_swapped_arguments_is_refused() -> None:
    async def swapped(ctx: Context, message: MessageReceived) -> None: ...

    with pytest.raises(BotError, match="the event first"):
        Bot().on(MessageReceived)(swapped)  # type: ignore[arg-type]


def test_a_misspelt_reaction_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(BotError, match="Did you mean 'love'"):
        Bot().on_reaction("lov")  # type: ignore[call-overload]


def test_an_event_that_is_no_class_is_refused() -> None:
    with pytest.raises(BotError, match="event class such as MessageReceived"):
        Bot().on("message.received")  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [Router, "orders", None, [Router()]])
def test_what_is_no_router_cannot_be_included(given: Any) -> None:
    with pytest.raises(BotError, match=r"^include\(\) takes one Router, not .* Write: router = Router\(\)"):
        Bot().include(given)


def test_an_overlap_that_is_no_text_is_refused_with_the_names() -> None:
    async def answer(message: MessageReceived, ctx: Context) -> None: ...

    with pytest.raises(BotError, match=r"overlap=True is not known\. There are: queue, restart, steer"):
        Bot().on_message(overlap=True)(answer)  # type: ignore[call-overload]


def test_a_filter_that_is_no_function_is_refused() -> None:
    async def later(message: MessageReceived) -> bool:
        return True

    with pytest.raises(BotError, match=r"^5 is not a filter\. .*one argument, the event\.$"):
        Bot().on(MessageReceived, 5)  # type: ignore[arg-type]
    with pytest.raises(BotError, match=r"later is not a filter\. .* async def of \(event, ctx\), given as when=\.$"):
        Bot().on(MessageReceived, later)  # type: ignore[arg-type]


def test_an_async_def_of_one_argument_is_refused_with_the_forms_of_a_handler_and_of_a_filter() -> None:
    async def is_short(message: MessageReceived) -> bool:
        return len(message.text) < 4

    bot = Bot()
    decorators: list[Callable[..., Any]] = [bot.on_message, bot.on_edit, bot.on_reaction, bot.on_typing]
    for decorator in decorators:
        with pytest.raises(BotError) as refused:
            decorator(is_short)
        handler, _, choice = str(refused.value).partition(" If it is meant to choose events: ")
        assert "is_short takes 1 argument; it is called with two" in handler
        assert choice == (
            "a filter is a plain def of the event alone; what must await is an async def of (event, ctx), given as when=."
        )


def test_a_handler_behind_a_catch_all_is_refused() -> None:
    bot = Bot()

    @bot.on_message
    async def everything(message: MessageReceived, ctx: Context) -> None: ...

    @bot.on_message("hi")
    async def greet(message: MessageReceived, ctx: Context) -> None: ...

    with pytest.raises(
        BotError, match=r"greet can never run: .*everything.*: test_router.py:\d+ before test_router.py:\d+\.$"
    ):
        Dispatcher(bot, SystemClock())


def is_short(message: MessageReceived) -> bool:
    return len(message.text) < 4


def test_a_handler_whose_events_an_earlier_one_takes_is_refused_and_every_other_order_is_allowed() -> None:
    book = regex(r"\b(book|appointment)\b")
    rows: list[tuple[Given, Given, str | None]] = [
        ((("hi",), {}), (("hi",), {}), "is for the same events: exact('hi'). Remove one of them"),
        ((("hi", "hello"), {}), (("Hello",), {}), "takes every text that it is for. Put the more particular"),
        ((("hi",), {}), (("hi", "hello"), {}), None),
        (((book,), {}), (("cancel my appointment",), {}), "takes every text that it is for"),
        (((regex("^cancel$"),), {}), (("cancel",), {}), None),  # "cancel!" is left to the second
        (((regex("hi", re.NOFLAG),), {}), (("hi",), {}), None),  # and so is "Hi"
        (((regex("hi"),), {}), ((regex("hi"),), {}), "is for the same events: regex('hi')"),
        (((regex("hi"),), {}), ((regex("hi", re.NOFLAG),), {}), None),
        (((contains("table"),), {}), (("book a table",), {}), "takes every text that it is for"),
        (((in_group,), {}), (("hi", in_group), {}), "takes every text that it is for"),
        (((in_group, "hi"), {}), (("hi",), {}), None),
        (((is_short,), {}), ((is_short,), {}), "is for the same events"),
        (((is_short,), {}), (("hi",), {}), None),
        ((("hi",), {"when": never}), (("hi",), {}), None),
        ((("hi",), {}), (("hi",), {"during_ask": True}), None),
        ((("hi",), {"during_ask": True}), (("hi",), {}), "is for the same events"),
        ((("hi",), {}), (("hi",), {"late": True}), None),
    ]
    wrong = []
    for first, second, says in rows:
        bot = Bot()

        async def handle(message: MessageReceived, ctx: Context) -> None: ...

        async def handle_too(message: MessageReceived, ctx: Context) -> None: ...

        bot.on_message(*first[0], **first[1])(handle)
        bot.on_message(*second[0], **second[1])(handle_too)
        said = refusal_of(bot)
        if (said is None) != (says is None) or (says or "") not in (said or ""):
            wrong.append((first, second, said))
    assert wrong == []
    several = Bot()

    async def greet(message: MessageReceived, ctx: Context) -> None: ...

    several.on_message("hi")(several.on_message("hi", "hi!")(greet))
    assert refusal_of(several) is None  # one function for several words


Given = tuple[tuple[Any, ...], dict[str, Any]]


async def never(message: MessageReceived, ctx: Context) -> bool:
    return False


def refusal_of(bot: Bot) -> str | None:
    try:
        Dispatcher(bot, SystemClock())
    except BotError as error:
        return str(error)
    return None


def test_words_and_a_pattern_that_no_text_fits_are_refused() -> None:
    for fitting in (
        regex("^cancel!"),
        regex("CANCEL", re.NOFLAG),
        contains("can"),
        in_group,
        is_short,
        exact("Cancel"),
    ):
        Bot().on_message("cancel", fitting)
    for other in (regex("^cancel my appointment"), contains("appointment"), exact("stop")):
        with pytest.raises(BotError, match=r"never fit the same text.* write exact\('cancel'\) \| ") as refused:
            Bot().on_message("cancel", other)
        assert other.name in str(refused.value)


def test_a_late_handler_after_a_catch_all_without_late_is_allowed() -> None:
    bot = Bot()

    @bot.on_message
    async def news(message: MessageReceived, ctx: Context) -> None: ...

    @bot.on_message(late=True)
    async def history(message: MessageReceived, ctx: Context) -> None: ...

    Dispatcher(bot, SystemClock())


def test_a_router_cannot_include_itself() -> None:
    outer, inner = Router(), Router()
    outer.include(inner)
    with pytest.raises(BotError):
        inner.include(outer)
    with pytest.raises(BotError):
        outer.include(outer)


@pytest.mark.parametrize("settings", [{"groups": "sometimes"}, {"allow": "+14155550142"}])
def test_a_bot_refuses_unknown_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(BotError):
        Bot(**settings)


def test_a_bot_refuses_an_allow_that_cannot_decide() -> None:
    async def friends(event: Event) -> bool:
        return False

    for allow in (friends, 5, (handle for handle in ["+14155550142"])):
        with pytest.raises(BotError, match=r"takes a list of handles, or a plain function of the event, not <?\w"):
            Bot(allow=allow)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (
            "message.recieved",
            "type is 'message.received': from linqbot.events import MessageReceived, then @bot.on(MessageReceived).",
        ),
        (
            "message.read",
            "It is the class of 'message.read': from linqbot.events import MessageRead, then @bot.on(MessageRead).",
        ),
        ("zebra", "not 'zebra'."),
    ],
)
def test_a_name_of_an_event_type_is_answered_with_its_class(given: str, hint: str) -> None:
    with pytest.raises(BotError) as refused:
        Bot().on(given)  # type: ignore[arg-type]
    assert str(refused.value).endswith(hint)


NO_ATTEMPTS = ["3", 0, -1, 2.5, True, float("inf")]
NO_SECONDS = ["60", 0, -1, float("nan"), float("inf"), True]


def test_impossible_limits_of_a_handler_are_refused_when_it_is_registered(subtests: pytest.Subtests) -> None:
    rows: list[dict[str, Any]] = [
        *({"attempts": value} for value in NO_ATTEMPTS),
        *({"deadline_s": value} for value in NO_SECONDS),
    ]
    for option in rows:
        with subtests.test(option=option):
            bot = Bot()
            ((name, value),) = option.items()
            says = rf"^{name}={re.escape(repr(value))} is not possible\. .* number .*such as {name}="
            for decorator in (bot.on_message, bot.on_edit, partial(bot.on, ReactionAdded), partial(bot.every, "hour")):
                with pytest.raises(BotError, match=says):
                    decorator(**option)


def test_possible_limits_of_a_handler_are_kept() -> None:
    async def greet(message: MessageReceived, ctx: Context) -> None: ...

    bot = Bot()
    bot.on_message("hi", attempts=1, deadline_s=0.5)(greet)
    ((route, _),) = bot.walk()
    assert (route.attempts, route.deadline_s) == (1, 0.5)


def test_limits_next_to_the_handler_itself_are_not_ignored() -> None:
    async def greet(message: MessageReceived, ctx: Context) -> None: ...

    bot = Bot()
    bot.on_message(greet, attempts=1)  # type: ignore[arg-type]
    ((route, _),) = bot.walk()
    assert route.attempts == 1


@pytest.mark.parametrize("decorate", [lambda bot: bot.on_error, lambda bot: bot.on_error()], ids=["bare", "empty"])
def test_an_error_handler_without_a_class_takes_every_exception(decorate: Callable[[Bot], Any]) -> None:
    bot = Bot()

    async def sorry(error: Exception, event: Event, ctx: Context) -> None: ...

    assert decorate(bot)(sorry) is sorry
    assert bot.error_handlers == ((Exception, sorry),)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("ValueError", "without quotes: @bot.on_error(ValueError)."),
        ((ValueError, KeyError), "write one @bot.on_error(…) above the other."),
        (KeyboardInterrupt, "write @bot.on_error without a class."),
        (int, "write @bot.on_error without a class."),
        (ValueError("x"), "write @bot.on_error without a class."),
        (None, "write @bot.on_error without a class."),
    ],
)
def test_an_error_handler_for_what_is_no_class_of_exceptions_is_refused(given: Any, hint: str) -> None:
    with pytest.raises(BotError) as refused:
        Bot().on_error(given)
    assert f"such as ValueError, not {given!r}. " in str(refused.value)
    assert str(refused.value).endswith(hint)


def test_an_error_handler_without_a_class_must_take_three_arguments_too() -> None:
    async def sorry(error: Exception, ctx: Context) -> None: ...

    with pytest.raises(BotError, match=r"sorry does not fit @bot.on_error.*\(error, event, ctx\)"):
        Bot().on_error(sorry)  # type: ignore[arg-type]


def test_decorators_work_with_empty_parentheses_as_without() -> None:
    async def leave(message: MessageReceived, ctx: Context) -> None: ...
    async def give_up(failure: Failure, message: MessageReceived, ctx: Context) -> None: ...
    async def run(running: Running) -> None: ...

    bot = Bot()
    assert bot.on_opt_out()(leave) is leave
    assert bot.on_dead_letter()(give_up) is give_up
    assert bot.on_start()(run) is run
    assert bot.on_stop()(run) is run
    assert [(route.handler, route.opt_out) for route, _ in bot.walk()] == [(leave, True)]
    assert [(route.event, route.handler) for route in bot.dead_letter_handlers] == [(MessageReceived, give_up)]
    assert (bot.start_handlers, bot.stop_handlers) == ((run,), (run,))


async def of_web_frameworks(event: Event, ctx: Context, next_: Any) -> None: ...
async def awaited(next_: Any) -> None: ...
def without_next() -> None: ...
def a_handler(event: Event, ctx: Context) -> None: ...


@pytest.mark.parametrize("middleware", [of_web_frameworks, awaited, without_next, a_handler])
def test_middleware_of_another_shape_is_refused_with_the_shape_that_is_wanted(middleware: Any) -> None:
    for use in (Bot().use, Router().use, Bot().use()):
        with pytest.raises(BotError) as refused:
            use(middleware)
        what, _, shape = str(refused.value).partition(" Write:\n")
        assert what.startswith(f"{__name__}:{middleware.__name__} does not fit @bot.use: ")
        written: dict[str, Any] = {}
        exec(shape, written)
        Bot().use(written[middleware.__name__])


def test_middleware_that_is_no_function_is_refused() -> None:
    with pytest.raises(BotError, match=r"^'timed' does not fit @bot.use.*\ndef middleware\(next_\)"):
        Bot().use("timed")  # type: ignore[call-overload]


def test_middleware_may_be_anything_that_takes_the_next_step() -> None:
    class Timed:
        def __init__(self, next_: Next) -> None:
            self.next = next_

        async def __call__(self, event: Event, ctx: Context) -> None:
            await self.next(event, ctx)

    def named(name: str, next_: Next) -> Next:
        return next_

    bot = Bot()
    several: list[Middleware] = [Timed, partial(named, "timed"), lambda next_: next_]
    for middleware in several:
        assert bot.use(middleware) is middleware
    assert bot.use()(Timed) is Timed
    assert bot.added_middleware == (*several, Timed)


def test_impossible_numbers_of_a_bot_are_refused_when_it_is_made(subtests: pytest.Subtests) -> None:
    rows: list[dict[str, Any]] = [
        *({"gather_s": value} for value in ("2", -1, 61, True, float("nan"), [2])),
        *({"max_age_s": value} for value in ("60", 0, -1, True, float("nan"), float("inf"), [60])),
    ]
    for option in rows:
        with subtests.test(option=option):
            ((name, value),) = option.items()
            for kind in (Bot, Router) if name == "gather_s" else (Bot,):
                with pytest.raises(
                    BotError, match=rf"^{name}={re.escape(repr(value))} is not possible\. It is the number of sec"
                ):
                    kind(**option)


def test_numbers_of_a_bot_may_be_left_out_or_be_at_their_limits() -> None:
    assert (Bot(gather_s=0).gather_s, Bot(gather_s=60).gather_s, Bot().gather_s) == (0, 60, None)
    assert (Bot(max_age_s=0.5).max_age_s, Bot(max_age_s=None).max_age_s) == (0.5, None)


def test_plugins_that_are_no_list_are_refused() -> None:
    for plugins in ("metrics", 5, None):
        with pytest.raises(BotError, match=rf"takes a list: plugins=\[{plugins!r}\]"):
            Bot(plugins=plugins)  # type: ignore[arg-type]


def returns_nothing(next_: Next) -> None:
    async def handle(event: Event, ctx: Context) -> None:
        await next_(event, ctx)


def returns_a_function_of_one(next_: Next) -> Any:
    async def handle(event: Event) -> None: ...

    return handle


@pytest.mark.parametrize(
    ("middleware", "says"),
    [
        (returns_nothing, "It returned None. Write:"),
        (returns_a_function_of_one, "It returned a function that does not take these two arguments. Write:"),
    ],
)
@pytest.mark.parametrize("is_inner", [False, True])
def test_middleware_that_returns_no_handler_is_refused_before_the_first_event(
    middleware: Any, says: str, is_inner: bool
) -> None:
    async def answer(message: MessageReceived, ctx: Context) -> None: ...

    bot, router = Bot(), Router()
    router.on_message(answer)
    bot.include(router)
    (router if is_inner else bot).use(middleware)
    line = middleware.__code__.co_firstlineno
    with pytest.raises(BotError) as refused:
        Dispatcher(bot, SystemClock())
    assert f"{middleware.__name__} (test_router.py:{line}) does not fit @bot.use" in str(refused.value)
    assert says in str(refused.value)
