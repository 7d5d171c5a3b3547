from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from direct_dispatch import context_of, handled
from fakes import NOW, Linq, message
from one_handler import bot_of, says
from structlog.testing import capture_logs

from linqbot import Bot, Context, LinqUnavailable, MessageReceived, Router, hookimpl, regex
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.router import Next
from linqbot.clock import MovableClock
from linqbot.errors import ConfigError, NoVerdict
from linqbot.plugin_loading import load
from linqbot.plugins.registry import Plugins

Handler = Callable[[MessageReceived, Context], Awaitable[None]]


async def handled_texts(bot: Bot, plugins: Plugins, *texts: str) -> Linq:
    return await handled(bot, *map(message, texts or ("hello",)), plugins=plugins)


def bot(handler: Handler) -> Bot:
    return bot_of(handler, read=False, typing=False)


def status(plugins: Plugins, name: str = "adds") -> str:
    return plugins.report()[name]


def adding(hook: str, given: Any, **how: Any) -> Any:
    """A plugin that adds `given` through one hook."""

    def add() -> Any:
        return given

    options = {name: how.pop(name) for name in ("tryfirst", "trylast") if name in how}
    plugin = type("adds", (), {"name": "adds", **how})()
    setattr(plugin, hook, hookimpl(**options)(add))
    return plugin


# Routers


def router(*filters: str, said: str = "plugin's") -> Router:
    made = Router()
    (made.on_message(*filters) if filters else made.on_message)(says(said))
    return made


async def test_a_plugins_handlers_come_after_the_bots_own_and_with_tryfirst_before_them() -> None:
    own = Bot(read=False, typing=False)
    own.on_message(regex("^hello"))(says("own"))
    for tryfirst, first in ((False, "own"), (True, "plugin's")):
        plugins = load([adding("register_routers", [router("hello", "other")], tryfirst=tryfirst)])
        assert (await handled_texts(own, plugins)).said() == [first]
        assert (await handled_texts(own, plugins, "other")).said() == ["plugin's"]


@pytest.mark.parametrize("tryfirst", [True, False])
async def test_a_plugin_whose_handlers_are_unreachable_is_blamed(tryfirst: bool) -> None:
    plugins = load([adding("register_routers", [router()], tryfirst=tryfirst)])
    assert (await handled_texts(bot(says("own")), plugins)).said() == ["own"]
    assert "can never run" in status(plugins)
    assert ("before them with @hookimpl(tryfirst=True)" in status(plugins)) != tryfirst


def returns_nothing(handle: Next) -> Any:
    pass


def raises_at_once(handle: Next) -> Any:
    raise ValueError("no settings")


@pytest.mark.parametrize(
    ("middleware", "why"), [(returns_nothing, "It returned None"), (raises_at_once, "raised ValueError")]
)
async def test_a_plugin_is_blamed_for_the_middleware_of_its_router(middleware: Any, why: str) -> None:
    made = router()
    made.use(middleware)
    plugins = load([adding("register_routers", [made], tryfirst=True)])
    assert (await handled_texts(bot(says("own")), plugins)).said() == ["own"]
    assert why in status(plugins)


async def test_a_plugins_router_has_its_own_middleware_and_error_handlers() -> None:
    made = Router()
    seen: list[str] = []

    @made.use
    def note(handle: Next) -> Next:
        async def noted(event: Any, ctx: Context) -> None:
            seen.append("middleware")
            await handle(event, ctx)

        return noted

    @made.on_message("fail")
    async def fail(event: MessageReceived, ctx: Context) -> None:
        raise KeyError(event.text)

    @made.on_error
    async def sorry(error: Exception, event: Any, ctx: Context) -> None:
        seen.append("error handler")

    await handled_texts(bot(says("own")), load([adding("register_routers", [made], tryfirst=True)]), "fail")
    assert seen == ["middleware", "error handler"]


@pytest.mark.parametrize("hook", ["register_routers", "register_middleware", "register_context"])
@pytest.mark.parametrize("given", [None, 7, ["text"]])
async def test_a_plugin_that_adds_an_object_of_a_wrong_type_is_blamed(hook: str, given: Any) -> None:
    plugins = load([adding(hook, given)])
    assert (await handled_texts(bot(says("own")), plugins)).said() == ["own"]
    assert status(plugins).startswith(f"disabled: {hook} raised")
    with pytest.raises(ConfigError, match=f"adds is required, and failed: {hook} raised"):
        Dispatcher(Bot(), MovableClock(NOW), plugins=load([adding(hook, given, required=True)]))


# Inbound middleware


def failing(error: Exception) -> Callable[[Next], Next]:
    def wrap(handle: Next) -> Next:
        async def wrapped(event: Any, ctx: Context) -> None:
            raise error

        return wrapped

    return wrap


async def test_middleware_of_plugins_wraps_the_bots_own() -> None:
    seen: list[str] = []

    def noting(what: str) -> Callable[[Next], Next]:
        def wrap(handle: Next) -> Next:
            async def noted(event: Any, ctx: Context) -> None:
                seen.append(what)
                await handle(event, ctx)

            return noted

        return wrap

    own = bot(says("own"))
    own.use(noting("own"))
    await handled_texts(own, load([adding("register_middleware", [noting("outer"), noting("inner")])]))
    assert seen == ["outer", "inner", "own"]


@pytest.mark.parametrize("required", [False, True])
async def test_middleware_that_stops_events_is_logged_once(*, required: bool) -> None:
    def stop(_: Next) -> Next:
        async def stopped(event: Any, ctx: Context) -> None: ...

        return stopped

    plugins = load([adding("register_middleware", [stop], required=required)])
    dispatcher = Dispatcher(bot(says("own")), MovableClock(NOW), plugins=plugins)
    linq, event = Linq(), message()
    with capture_logs() as logs:
        for each in (event, message("again")):
            await dispatcher.dispatch(each, context_of(dispatcher, each, linq))
    assert linq.said() == []
    about = {"plugin": "adds", "event_id": event.event_id, "chat_id": event.chat_id}
    stopped = [line for line in logs if line["event"] == "event.stopped"]
    assert stopped == [{"event": "event.stopped", "log_level": "info", **about}]


async def test_middleware_is_not_blamed_for_errors_of_linq_or_the_storage() -> None:
    plugins = load([adding("register_middleware", [failing(LinqUnavailable("away"))])])
    with pytest.raises(LinqUnavailable):
        await handled_texts(bot(says("own")), plugins)
    assert status(plugins) == "active"


async def test_required_middleware_that_fails_blocks_the_event_and_no_error_handler_runs() -> None:
    plugins = load([adding("register_middleware", [failing(ValueError("x"))], required=True)])
    own = bot(says("own"))

    @own.on_error(Exception)
    async def swallow(error: Exception, event: Any, ctx: Context) -> None: ...

    with pytest.raises(NoVerdict, match="The required plugin adds failed: inbound middleware raised ValueError"):
        await handled_texts(own, plugins)
    assert status(plugins).startswith("failing: ")


# Values


async def test_a_value_is_made_once_a_turn_and_only_if_it_is_used() -> None:
    made: list[str] = []

    def make(event: MessageReceived, ctx: Context) -> str:
        made.append(event.text)
        return event.text.upper()

    async def shout(event: MessageReceived, ctx: Context) -> None:
        if event.text != "unused":
            await ctx.reply(ctx.plugins["shout"] + ctx.plugins["shout"])

    plugins = load([adding("register_context", {"shout": make})])
    linq = await handled_texts(bot(shout), plugins, "unused", "a", "b")
    assert (linq.said(), made) == (["AA", "BB"], ["a", "b"])


async def test_a_value_of_a_plugin_that_was_disabled_is_refused_with_the_place_that_says_why() -> None:
    async def make(event: MessageReceived, ctx: Context) -> str:
        return "x"

    async def ask(event: MessageReceived, ctx: Context) -> None:
        assert list(ctx.plugins) == []
        with pytest.raises(KeyError, match=r"No plugin adds 'shout'\. There are: none, .* see the log or /readyz"):
            ctx.plugins["shout"]
        await ctx.reply("asked")

    plugins = load([adding("register_context", {"shout": make})])
    assert (await handled_texts(bot(ask), plugins)).said() == ["asked"]
    assert "make is async, and must be a plain def" in status(plugins)


async def test_a_value_belongs_to_the_first_plugin_of_its_name() -> None:
    class Second:
        name = "second"

        @hookimpl
        def register_context(self) -> Any:
            return {"shout": lambda event, ctx: "second"}

    async def shout(event: MessageReceived, ctx: Context) -> None:
        await ctx.reply(ctx.plugins["shout"])

    plugins = load([Second, adding("register_context", {"shout": lambda event, ctx: "first"})])
    assert (await handled_texts(bot(shout), plugins)).said() == ["first"]
    assert "ctx.plugins['shout'] is another plugin's" in status(plugins, "second")


async def test_an_error_of_a_maker_of_a_value_names_its_plugin() -> None:
    async def ask(event: MessageReceived, ctx: Context) -> None:
        await ctx.reply(ctx.plugins["fact"])

    plugins = load([adding("register_context", {"fact": lambda event, ctx: ctx.plugins["missing"]})])
    with capture_logs() as logs, pytest.raises(KeyError):
        await handled_texts(bot(ask), plugins)
    (line,) = [line for line in logs if line["event"] == "plugin.value_failed"]
    assert line["plugin"] == "adds"
    assert line["why"].startswith("ctx.plugins['fact'] raised KeyError at test_from_plugins.py:")
