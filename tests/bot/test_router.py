from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import pytest

from linqbot import Bot, BotError, Context, Event, MessageReceived, ReactionAdded, Router
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.router import Middleware, Next
from linqbot.clock import SystemClock
from linqbot.engine.filters import contains, exact, in_group, regex


def test_a_decorated_handler_is_still_the_same_function() -> None:
    bot = Bot()
    assert bot.on_message(greet) is greet
    assert bot.on_message("hi")(greet) is greet


def new(**settings: Any) -> Any:
    """Return a bot that mypy lets register anything."""
    return Bot(**settings)


async def one(message: MessageReceived) -> None: ...
async def three(message: MessageReceived, ctx: Context, extra: int) -> None: ...
async def swapped(ctx: Context, message: MessageReceived) -> None: ...
async def loved(reaction: ReactionAdded, ctx: Context) -> None: ...
async def greet(message: MessageReceived, ctx: Context) -> None: ...
async def sorry(error: Exception, ctx: Context) -> None: ...
def plain(message: MessageReceived, ctx: Context) -> None: ...
async def wants(message: MessageReceived, ctx: Context) -> bool:
    return True


async def decides(event: Event) -> bool:
    return False


NO_HANDLERS = {
    r"takes 0 arguments": lambda: None,
    r"takes 1 argument;.*async def function\(event": lambda event: None,
    r"takes 3 arguments": lambda a, b, c: None,
    r"must be a function": "hello",
    r"the event first": swapped,
    r"written for ReactionAdded but registered for MessageReceived.*@bot.on\(React": loved,
}
NO_CLASSES_OF_ERRORS: list[Any] = ["ValueError", (ValueError, KeyError), KeyboardInterrupt, int, ValueError("x"), None]
IMPORT_READ = "from linqbot.events import MessageRead, then @bot.on(MessageRead)."
IMPORT_RECEIVED = "from linqbot.events import MessageReceived, then @bot.on(MessageReceived)."
MISTAKES: list[tuple[Callable[[], object], str]] = [
    *((partial(new().on(MessageReceived), handler), says) for says, handler in NO_HANDLERS.items()),
    (partial(new().on_message, three), "three takes 3 arguments"),
    (partial(new().on_message, one), r"one takes 1 argument; .* is called with two.* a filter is a plain def"),
    (partial(new().on_message, wants), r"wants returns a bool, which is no reply\. .*: when=wants\.$"),
    (partial(new().on_post, greet), r"^@bot.on_post\(\) needs the names of the posts"),
    (partial(new().on_post), r"^@bot.on_post\(\) needs the names of the posts"),
    (lambda: new().on_message(overlap=True)(greet), r"overlap=True is not known\. There are: queue, restart, steer"),
    (lambda: new().on_message(overlap="restart")(plain), "needs an async def: .*plain is a plain def"),
    (partial(new().on_message, when=one), r"does not fit when=.*\(event, ctx\)"),
    (partial(new().on_message, when=lambda message, ctx: True), r"does not fit when=.*\(event, ctx\)"),
    (lambda: new().on_reaction("lov"), "Did you mean 'love'"),
    (lambda: new().on("message.received"), "event class such as MessageReceived"),
    (lambda: new().on("message.recieved"), re.escape(f"type is 'message.received': {IMPORT_RECEIVED}") + "$"),
    (lambda: new().on("message.read"), re.escape(f"It is the class of 'message.read': {IMPORT_READ}") + "$"),
    (lambda: new().on("zebra"), r"not 'zebra'\.$"),
    (lambda: new().on(MessageReceived, 5), r"^5 is not a filter\. .*one argument, the event\.$"),
    (lambda: new().on(MessageReceived, decides), r"decides is not a filter\. .* of \(event, ctx\), given as when=\.$"),
    *(
        (partial(new().include, given), r"^include\(\) takes one Router, not .* Write: router = Router\(\)")
        for given in (Router, "orders", None, [Router()])
    ),
    (lambda: new(groups="sometimes"), "groups"),
    *(
        (partial(new, **{option: text}), rf"Bot\({option}=…\) takes a text such as")
        for option in ("on_trouble", "on_ask_timeout", "on_ask_cancelled")
        for text in ("", "  ", 5, ["One moment"])
    ),
    (lambda: new(allow="+14155550142"), "allow"),
    *(
        (partial(new, allow=allow), r"takes a list of handles, or a plain function of the event, not <?\w")
        for allow in (decides, 5, (handle for handle in ["+14155550142"]))
    ),
    *((partial(new, plugins=given), rf"takes a list: plugins=\[{given!r}\]") for given in ("metrics", 5, None)),
    *(
        (partial(new().on_error, given), re.escape(f"such as ValueError, not {given!r}. "))
        for given in NO_CLASSES_OF_ERRORS
    ),
    (lambda: new().on_error(sorry), r"sorry does not fit @bot.on_error.*\(error, event, ctx\)"),
    *(
        (partial(decorate, greet), r"greet does not fit @bot.on_st.*: async def greet\(running\)")
        for decorate in (new().on_start, new().on_stop)
    ),
    (lambda: new().use("timed"), r"^'timed' does not fit @bot.use.*\ndef middleware\(next_\)"),
]


def test_a_mistake_in_a_registration_is_refused_in_words(subtests: pytest.Subtests) -> None:
    for make, says in MISTAKES:
        with subtests.test(says=says), pytest.raises(BotError, match=says):
            make()


def test_a_wrapper_that_takes_any_arguments_is_a_handler() -> None:
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        await greet(*args, **kwargs)

    bot = new()
    bot.on_message(wrapper)
    assert [route.handler for route, _ in bot.walk()] == [wrapper]


def test_a_router_cannot_include_itself() -> None:
    outer, inner = Router(), Router()
    outer.include(inner)
    for router in (inner, outer):
        with pytest.raises(BotError):
            router.include(outer)


def test_a_bot_is_not_included_because_its_options_would_not_count() -> None:
    with pytest.raises(BotError, match=r"takes a Router, not a Bot: the options of an included bot, such as allow="):
        Bot().include(Bot(allow=["+14155550142"]))


def is_short(message: MessageReceived) -> bool:
    return len(message.text) < 4


def test_a_handler_whose_events_an_earlier_one_takes_is_refused_and_every_other_order_is_allowed() -> None:
    book = regex(r"\b(book|appointment)\b")
    rows: list[tuple[Given, Given, bool]] = [
        (((), {}), (("hi",), {}), False),
        ((("hi",), {}), (("hi",), {}), False),
        ((("hi", "hello"), {}), (("Hello",), {}), False),
        ((("hi",), {}), (("hi", "hello"), {}), True),
        (((book,), {}), (("cancel my appointment",), {}), False),
        (((regex("^cancel$"),), {}), (("cancel",), {}), True),  # "cancel!" is left to the second
        (((regex(re.compile("hi")),), {}), (("hi",), {}), True),  # and so is "Hi"
        (((regex("hi"),), {}), ((regex("hi"),), {}), False),
        (((regex("hi"),), {}), ((regex(re.compile("hi")),), {}), True),
        (((contains("table"),), {}), (("book a table",), {}), False),
        (((in_group,), {}), (("hi", in_group), {}), False),
        (((in_group, "hi"), {}), (("hi",), {}), True),
        (((is_short,), {}), ((is_short,), {}), False),
        (((is_short,), {}), (("hi",), {}), True),
        ((("hi",), {"when": never}), (("hi",), {}), True),
        ((("hi",), {}), (("hi",), {"during_ask": True}), True),
        ((("hi",), {"during_ask": True}), (("hi",), {}), False),
        ((("hi",), {}), (("hi",), {"late": True}), True),
        (((), {}), ((), {"late": True}), True),
    ]
    wrong = []
    for first, second, is_allowed in rows:
        bot = Bot()

        async def handle(message: MessageReceived, ctx: Context) -> None: ...

        async def handle_too(message: MessageReceived, ctx: Context) -> None: ...

        bot.on_message(*first[0], **first[1])(handle)
        bot.on_message(*second[0], **second[1])(handle_too)
        said = refusal_of(bot)
        if said is not None:
            assert re.search(r"handle_too can never run: .*handle.*: test_router.py:\d+, test_router.py:\d+\.$", said)
        if (said is None) != is_allowed:
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
    patterns = (regex("^cancel!"), regex(re.compile("CANCEL")))
    for fitting in (*patterns, contains("can"), in_group, is_short, exact("Cancel")):
        Bot().on_message("cancel", fitting)
    for other in (regex("^cancel my appointment"), contains("appointment"), exact("stop")):
        with pytest.raises(BotError, match=r"never fit the same text.* write exact\('cancel'\) \| ") as refused:
            Bot().on_message("cancel", other)
        assert other.name in str(refused.value)


def test_impossible_numbers_are_refused_when_a_handler_or_a_bot_is_made(subtests: pytest.Subtests) -> None:
    bot, nan, inf = Bot(), float("nan"), float("inf")
    registering = (bot.on_message, partial(bot.on, ReactionAdded), partial(bot.every, "hour"))
    rows: list[tuple[str, Sequence[Callable[..., object]], list[Any], str]] = [
        ("attempts", registering, ["3", 0, -1, 2.5, True, inf], ".* number .*such as attempts="),
        ("deadline_s", registering, ["60", 0, -1, nan, inf, True], ".* number .*such as deadline_s="),
        ("gather_s", (Bot, Router), ["2", -1, 61, True, nan, [2]], "It is the number of sec"),
        ("max_age_s", (Bot,), ["60", 0, -1, True, nan, inf, [60]], "It is the number of sec"),
    ]
    for name, uses, values, says in rows:
        for value, use in product(values, uses):
            with (
                subtests.test(name=name, value=value, use=use),
                pytest.raises(BotError, match=rf"^{name}={re.escape(repr(value))} is not possible\. {says}"),
            ):
                use(**{name: value})


async def of_web_frameworks(event: Event, ctx: Context, next_: Any) -> None: ...
async def awaited(next_: Any) -> None: ...
def without_next() -> None: ...
def a_handler(event: Event, ctx: Context) -> None: ...


@pytest.mark.parametrize("middleware", [of_web_frameworks, awaited, without_next, a_handler])
def test_middleware_of_another_shape_is_refused_with_the_shape_that_is_wanted(middleware: Any) -> None:
    for use in (Bot().use, Router().use):
        with pytest.raises(BotError) as refused:
            use(middleware)
        what, _, shape = str(refused.value).partition(" Write:\n")
        assert what.startswith(f"{__name__}:{middleware.__name__} does not fit @bot.use: ")
        written: dict[str, Any] = {}
        exec(shape, written)
        Bot().use(written[middleware.__name__])


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
    assert bot.added_middleware == several


def test_numbers_of_a_bot_may_be_left_out_or_be_at_their_limits() -> None:
    assert (Bot(gather_s=0).gather_s, Bot(gather_s=60).gather_s, Bot().gather_s) == (0, 60, None)
    assert (Bot(max_age_s=0.5).max_age_s, Bot(max_age_s=None).max_age_s) == (0.5, None)


def returns_nothing(next_: Next) -> None:
    async def handle(event: Event, ctx: Context) -> None:
        await next_(event, ctx)


def returns_a_function_of_one(next_: Next) -> Any:
    async def handle(event: Event) -> None: ...

    return handle


@pytest.mark.parametrize(
    ("middleware", "what"),
    [(returns_nothing, "None"), (returns_a_function_of_one, "a function that does not take these two arguments")],
)
@pytest.mark.parametrize("is_inner", [False, True])
def test_middleware_that_returns_no_handler_is_refused_at_the_start(middleware: Any, what: str, is_inner: bool) -> None:
    bot, router = Bot(), Router()
    router.on_message(greet)
    bot.include(router)
    (router if is_inner else bot).use(middleware)
    line = middleware.__code__.co_firstlineno
    with pytest.raises(BotError) as refused:
        Dispatcher(bot, SystemClock())
    assert f"{middleware.__name__} (test_router.py:{line}) does not fit @bot.use" in str(refused.value)
    assert f"It returned {what}. Write:" in str(refused.value)
