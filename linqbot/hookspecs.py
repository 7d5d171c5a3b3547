# mypy: disable-error-code="empty-body"
"""Specifications of all hooks that a plugin may implement, one docstring each. `plugin_loading.py` loads plugins.

A plugin is a class, of which linqbot makes one instance for each app, or a module or an object, which is used as it is.
It implements any of these functions, marked with `linqbot.hookimpl`. Each takes those of the hook's arguments that it
needs, by name:

    from linqbot import hookimpl

    class Plugin:
        @hookimpl
        def turn_ended(self, report: TurnReport) -> None: ...

    [project.entry-points.linqbot]
    mine = "my_package:Plugin"

**Adding and observing.** A hook named `register_…` is called once, when the app is made, and returns what the plugin
adds. All other hooks observe, and their return value is ignored. Observing hooks are plain `def` functions. They run in
the event loop, between two steps of a delivery, so they must be quick and must not block. `took_s` is measured with a
monotonic clock. `delivery`, `event` and `call` are the objects in use, not copies, and so are those of a report.

**A plugin that fails is disabled**, and the bot goes on without it. This happens if the plugin cannot be loaded, if one
of its hooks or its middleware raises an error, or if an observing hook is slow repeatedly. The log names the plugin
once, and /readyz names it from then on. The hooks of a disabled plugin are not called, its middleware is skipped, and
its routes answer 503. Its handlers stay. The log shows only the class of the error and its place in the code, because
an error's message may quote a person. If a setting is missing, raise `linqbot.errors.ConfigError` before the first
delivery: its message is shown.

**A required plugin fails closed.** A plugin is required if it has `required = True` or if LINQBOT_REQUIRED_PLUGINS
names it. The bot does not start without it. While its middleware fails, turns are deferred and nothing is sent. A
required plugin is never disabled: its middleware is called again for the next call. /readyz still reports ready,
because deliveries are stored, and lists the plugin under `failing`: monitor this list. An observing hook of a required
plugin that fails is not called any more; the plugin's other hooks and its middleware are.

**Order.** Implementations marked `@hookimpl(tryfirst=True)` come first and those marked `@hookimpl(trylast=True)` come
last. Within each group they are sorted by the names of the plugins. Hook wrappers are not supported.

**Messages that are joined have one turn.** The messages of a burst, and those that a running handler takes in
(`overlap=`), belong to the turn of the first. `received` and `stored` are called for each of them, and the hooks of a
turn once, with the first as `delivery` of the report, whose `joined` has the others. Only `routed` is called again, whenever the
handler begins again with a further message. So do not count the deliveries that wait as those stored minus the
turns that ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from linqbot.hook_markers import hookimpl as hookimpl
from linqbot.hook_markers import hookspec
from linqbot.turn_events import End as End
from linqbot.turn_events import Tried as Tried
from linqbot.turn_events import TurnCall as TurnCall
from linqbot.turn_events import TurnEvent
from linqbot.turn_events import TurnReport as TurnReport
from linqbot.turn_events import TurnStep as TurnStep

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

    from linqbot.bot.bot import Bot
    from linqbot.bot.context import Context
    from linqbot.bot.lifecycle import Running
    from linqbot.bot.router import Middleware, Router
    from linqbot.client.call import ApiResponse, Call, Run
    from linqbot.linq.events.delivery import Delivery
    from linqbot.linq.events.event import Event
    from linqbot.linq.types.proactive import ChatHandoff
    from linqbot.storage.backend import StorageBackend

Reason: TypeAlias = Literal["forged", "out_of_time", "too_large", "incomplete", "closed", "busy", "unavailable"]
"""Reason why a POST to the webhook was refused.

- `forged`: it has no valid signature of Linq.
- `out_of_time`: its signature is genuine, but its timestamp is too far from the server's clock.
- `too_large`: its body is larger than `max_body_bytes`.
- `incomplete`: its body did not arrive completely in time.
- `closed`: the app is starting or stopping.
- `busy`: the backlog is full.
- `unavailable`: the storage could not store it.
"""


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
def register_observers() -> Mapping[type[TurnEvent], Callable[[Any], None]]:
    """Add observers of events about turns: a plain function for each class of `linqbot.turn_events`, which takes an event of it.

    The functions run in the task in which the event happens, in the order of the plugins. As with observing hooks, an error
    disables the plugin, and so does a function that is slow repeatedly.

    Example: `return {QuestionAsked: self.note_question}`
    """


# Hooks that observe, in the order in which they are called


@hookspec
def started(running: Running) -> None:
    """The app has opened its storage and has not leased a delivery yet.

    May be `async def`. The app waits for it for at most 10 s.
    """


@hookspec
def refused(reason: Reason, status: int) -> None:
    """A POST to the webhook was refused. Called in the task of the request.

    Args:
        status: HTTP status of the response: 401 for a forgery; otherwise 503, after which Linq delivers again.
    """


@hookspec
def received(delivery: Delivery, headers: Mapping[str, str], carrier: dict[str, str]) -> None:
    """A delivery was verified and is not stored yet. Called in the task of the request; `stored` or `refused` follows.

    Args:
        headers: Headers of the request; names are in lower case.
        carrier: An empty dict to put strings into. They are stored with the delivery and passed to this plugin's
            `taken`, also after a restart. At most 4096 bytes as JSON. The carrier of a duplicate is discarded.
    """


@hookspec
def stored(delivery: Delivery, is_new: bool, took_s: float) -> None:
    """A delivery is on disk. Called in the task of the request, before Linq receives its 200.

    A receipt of a message of the bot that no handler and no middleware takes ends here: the journal has noted it, and
    there is no `taken` or `turn_ended`.

    Args:
        is_new: False for a duplicate, which was on disk already.
        took_s: Seconds that the storage took, including the wait for a commit that deliveries share.
    """


@hookspec
def taken(report: TurnReport, carrier: Mapping[str, str]) -> None:
    """A turn begins. Called in the task of the turn: its handler and its calls see context variables that are set here.

    One `turn_ended` with the same report follows, whatever ends the turn.

    Args:
        carrier: Strings that this plugin's `received` put in. Empty for a delivery that did not come from a webhook.
    """


@hookspec
def routed(event: Event, handler: str | None, at: str | None, tried: Sequence[Tried], reason: str | None) -> None:
    """A handler was chosen for an event, or no handler takes it. Called in the task of the turn, before the handler runs.

    Not called if middleware ended the event before, or for the events of a type that no handler takes, except the first.

    Args:
        handler: Name of the chosen handler, as `module:name`; None if no handler takes the event.
        at: `file:line` of the chosen handler's definition.
        tried: The filters of each handler before the chosen one, up to the first filter that did not fit.
        reason: Why no handler takes the event, such as `no filter fits`; None if a handler was chosen.
    """


@hookspec
def sent(call: Call, answer: ApiResponse | None, error: Exception | None, took_s: float, from_journal: bool) -> None:
    """A call to Linq was answered or failed. Hints and reads count too.

    Called in the task that made the call: the task of the turn, a task that the handler started, or a task of linqbot.
    linqbot sends read receipts and typing indicators in tasks of the turn, which may end after `turn_ended`; and after a
    start it reads from Linq what it has missed, outside of any turn. The hook is called once for each attempt that the
    turn makes; retries of the client belong to one attempt. The hook is not called for a call that outbound
    middleware refused, or that was cut off, such as when the bot stops.

    Args:
        answer: Response of Linq; None if the call failed.
        error: Error of a call that failed. Log only its class, `status` and `code`: its message may quote a person.
        took_s: Seconds that the call took, including retries of the client; 0 if `from_journal`.
        from_journal: The call was made in an earlier run of the turn. Linq was not called again.
    """


@hookspec
def stepped(
    name: str, error: BaseException | None, took_s: float, from_journal: bool, usage: Mapping[str, float]
) -> None:
    """A step of `ctx.once` or `ctx.model_step` has ended. linqbot's own steps, such as uploads, count too.

    Called in the task that made the step. Not called for a step that was cut off, such as when the bot stops.

    Args:
        name: Name of the step, as the author gave it.
        error: Error with which the step failed; None if it has a result. Log only its class: its message may quote a person.
        took_s: Seconds that the step took; 0 if `from_journal`.
        from_journal: The step was made in an earlier run of the turn. Its result is from the record.
        usage: See `TurnStep`.
    """


@hookspec
def handed_back(handoff: ChatHandoff) -> None:
    """A handoff has ended, and both people were notified. `handoff.ended` says how.

    Called in the task of the turn, and again if the process dies just then. Called too if the owner could not be written to, so that
    `ctx.handoff` has returned False: `handoff.ended` is `unreachable`.
    """


@hookspec
def turn_ended(report: TurnReport) -> None:
    """A turn has ended, and its report is complete.

    Called last in the task of the turn. If its handler ignores its cancellation, called in another task.
    """


@hookspec
def stopped() -> None:
    """The app runs no turn any more; its storage is still open.

    May be `async def`. The app waits for it for at most 10 s.
    """
