# mypy: disable-error-code="empty-body"
"""Specifications of all hooks that a plugin may implement, one docstring each. `plugin_loading.py` loads plugins.

A plugin is a class, of which linqbot makes one instance for each app, or a module or an object, which is used as it is.
It implements any of these functions, marked with `linqbot.hookimpl`. Each takes those of the hook's arguments that it
needs, by name:

    from linqbot import hookimpl

    class Plugin:
        @hookimpl
        def started(self, running: Running) -> None: ...

    [project.entry-points.linqbot]
    mine = "my_package:Plugin"

**Adding and observing.** A hook named `register_…` is called once, when the app is made, and returns what the plugin
adds. With `register_observers` a plugin observes deliveries and turns: `linqbot.turn_events` describes all events.

**A plugin that fails is disabled**, and the bot goes on without it. This happens if the plugin cannot be loaded, if one
of its hooks, its observers or its middleware raises an error, or if an observer is slow repeatedly. The log names the plugin
once, and /readyz names it from then on. The hooks and observers of a disabled plugin are not called, its middleware is skipped, and
its routes answer 503. Its handlers stay. The log shows only the class of the error and its place in the code, because
an error's message may quote a person. If a setting is missing, raise `linqbot.errors.ConfigError` before the first
delivery: its message is shown.

**A required plugin fails closed.** A plugin is required if it has `required = True` or if LINQBOT_REQUIRED_PLUGINS
names it. The bot does not start without it. While its middleware fails, turns are deferred and nothing is sent. A
required plugin is never disabled: its middleware is called again for the next call. /readyz still reports ready,
because deliveries are stored, and lists the plugin under `failing`: monitor this list. An observer of a required
plugin that fails is not called any more; the plugin's other observers and its middleware are.

**Order.** Implementations marked `@hookimpl(tryfirst=True)` come first and those marked `@hookimpl(trylast=True)` come
last. Within each group they are sorted by the names of the plugins. Hook wrappers are not supported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linqbot.hook_markers import hookspec

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

    from linqbot.bot.bot import Bot
    from linqbot.bot.context import Context
    from linqbot.bot.lifecycle import Running
    from linqbot.bot.router import Middleware, Router
    from linqbot.client.call import Run
    from linqbot.linq.events.event import Event
    from linqbot.storage.backend import StorageBackend
    from linqbot.turn_events import Observers


@dataclass(frozen=True, slots=True)
class PluginCommand:
    """A command of a plugin, run as `linqbot <name>`.

    Attributes:
        name: Name of the command.
        about: Line of the command in `linqbot --help`: one sentence.
        target: Place of the `click.Command`, such as `shop_bot.commands:orders`. The module is imported only when the command
            is called, so that `linqbot --help` stays fast.
        section: Section of `linqbot --help` that lists the command.
    """

    name: str
    about: str
    target: str
    section: str = "From plugins"


@dataclass(frozen=True, slots=True)
class AgentTool:
    """A tool of `linqbot mcp`. The hints are those of the protocol, by which a client decides when to ask its user first.

    Attributes:
        run: An async function. An agent is shown its name, its annotations and its docstring, and its result as JSON. Text of
            people in a result belongs in a field of its own whose name says so: an agent may take it for an instruction.
        title: A short name for people, such as "Mute the bot".
        read_only: True if the tool changes nothing.
        destructive: True if it does something that cannot be taken back, such as a message that is sent.
        idempotent: True if a second call with the same arguments changes nothing more.
    """

    run: Callable[..., Awaitable[Any]]
    title: str
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """A server of a plugin on a port of its own, which `linqbot serve` opens next to the bot's, on the same host.

    Attributes:
        name: The name of its address in what `linqbot serve --json` prints, such as `metrics`.
        title: The beginning of the line with its address, such as `The metrics page` of "The metrics page is on http://…".
        port: The port; 0 for a free one.
        setting: The variable that sets the port, for the error when the port is in use.
        make_app: Returns the app, before the bot starts. A ConfigError ends the start. The lifespan of the app runs once
            the bot has started; if it fails, the log says so, and the bot goes on.
    """

    name: str
    title: str
    port: int
    setting: str
    make_app: Callable[[], Starlette]


# Hooks that add something to the bot


@hookspec
def register_routers(bot: Bot) -> Iterable[Router]:
    """Add handlers, as routers. They are tried after the bot's own handlers; with `tryfirst=True`, before them.

    Args:
        bot: The bot, with its settings. Its own handlers are registered already.
    """


@hookspec
def register_middleware() -> Iterable[Middleware]:
    """Add inbound middleware, which wraps the bot's own middleware: `def timed(next): async def handle(event, ctx): …`.

    Errors of the handler pass through the middleware. An error of the middleware itself disables the plugin, and the
    event is handled without it; if the plugin is required, the turn is deferred instead. A LinqbotError never counts as
    the middleware's own error, because the middleware may send and Linq may refuse.

    If the middleware does not call `next`, the event ends there and is acknowledged. The first time this happens, the
    log event `event.stopped` names the plugin.

    A message by which a person opts out passes through the middleware too. If the middleware ends it, the handlers of
    `on_opt_out` do not run. A plugin that keeps messages from the bot's handlers is therefore better written as a router:
    see "Taking messages over" on the page about plugins.
    """


@hookspec
def register_outbound() -> Iterable[Callable[[Run], Run]]:
    """Add outbound middleware, which wraps every call of the bot to Linq, including hints and reads.

    The middleware runs before the journal looks up the call, so a turn that runs again calls it again. Each middleware
    takes `run` and returns the function to call instead: `def check(run): async def checked(call): …`. This function is
    made again for each call, so keep state in the plugin.

    To veto a call, raise `linqbot.errors.Refused` with a reason that may be logged. `ctx.reply` and `ctx.send` then
    return `status="refused"`, and methods of `ctx.client` raise Refused. A veto does not disable the plugin. Any other
    error of the middleware disables the plugin, and the call is made without it. If the plugin is required, nothing is
    sent and the turn is deferred.
    """


@hookspec
def register_broadcast_checks() -> Iterable[Callable[[str, Sequence[str]], None]]:
    """Add checks of new broadcasts, each a function that takes the name of a broadcast and the handles of its people.

    A broadcast begins in the storage and not with a call to Linq, so outbound middleware sees its sends only. A check
    runs in `ctx.bot.broadcast`, in the task that calls it, before anything is stored. To veto the broadcast, raise
    `linqbot.errors.Refused` with a reason that may be logged; `ctx.bot.broadcast` raises it. Any other error disables
    the plugin, and the broadcast begins. If the plugin is required, nothing begins and the turn is deferred.
    """


@hookspec
def register_commands() -> Iterable[PluginCommand]:
    """Add commands, run as `linqbot <name>`. For installed plugins only, and for names that linqbot does not use."""


@hookspec
def register_tools(dev: str | None, allow_writes: bool) -> Iterable[AgentTool]:
    """Add tools to `linqbot mcp`.

    An agent is shown the message of a `linqbot.errors.LinqbotError` that a tool raises; of other errors it learns nothing.
    No bot runs in the process of this command, so a tool opens what it needs. For installed plugins only.

    Args:
        dev: With `--dev`, the address of the page of the `linqbot dev` that the tools are about; otherwise None.
        allow_writes: True with `--allow-writes`. Without it, a tool changes nothing of a bot that people write to.
    """


@hookspec
def register_routes(running: Running) -> Iterable[BaseRoute]:
    """Add Starlette routes under `/plugins/<name of the plugin>/`. Storage and client are not open at this time."""


@hookspec
def register_listeners(running: Running, page: bool) -> Iterable[Listener]:
    """Add servers on ports of their own to `linqbot serve`, for what must not be on the port that Linq reaches.

    Storage and client are not open at this time. They are while the lifespan of the app of a listener runs.

    Args:
        page: True with `linqbot serve --page`, which asks for the operator's page: a listener with the name `page`.
    """


@hookspec
def register_storage() -> Mapping[str, StorageBackend]:
    """Add storage backends by URL scheme. For installed plugins only; built-in schemes cannot be replaced."""


@hookspec
def register_context() -> Mapping[str, Callable[[Event, Context], Any]]:
    """Add values that handlers read as `ctx.plugins["name"]`. Each is made when a turn reads it for the first time.

    The functions are plain `def`. An error of a function is raised where the handler reads the value, because the
    handler cannot go on without it. The log names the plugin, which is not disabled. A name belongs to the first plugin
    that adds it; another one that adds it is disabled.
    """


@hookspec
def register_observers() -> Observers:
    """Add observers of deliveries and turns: for each class of `linqbot.turn_events`, a plain function that takes an event of it.

    The functions run in the task in which the event happens, in the order of the plugins. They must be quick and must not
    block. Their return value is ignored.

    Example: `return {TurnEnded: self.turn_ended}`
    """


# The start and the stop of the app


@hookspec
def started(running: Running) -> None:
    """The app has opened its storage and has not leased a delivery yet.

    May be `async def`. The app waits for it for at most 10 s.
    """


@hookspec
def stopped() -> None:
    """The app runs no turn any more; its storage is still open.

    May be `async def`. The app waits for it for at most 10 s.
    """
