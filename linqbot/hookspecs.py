# mypy: disable-error-code="empty-body"
"""Every door a plugin may open, one docstring each; `plugins/loading.py` finds who stands in them.

A plugin is a class, made anew for each app, or a module or object used as it is. It implements any of these functions,
marked with `linqbot.hookimpl`, with as many of their arguments as it needs, by name:

    from linqbot import hookimpl

    class Plugin:
        @hookimpl
        def finished(self, outcome: str, took_s: float) -> None: ...

    [project.entry-points.linqbot]
    mine = "my_package:Plugin"

`register_…` hooks are asked once, when the app is made. All others observe: they are plain `def`, called in the event
loop between two steps of a message, so they must be quick and must not block; what they return is thrown away.
`took_s` is measured by a clock that never goes back; `delivery`, `event` and `call` are the very objects in use.

A plugin that cannot be loaded, that raises, or that is slow again and again, is disabled, and named once in the log and
from then on by /readyz; the bot serves on. Disabled, it hears nothing, its middleware is passed by and its routes answer
503; its handlers stay. Of an error only the class and place are told, because a message may quote people; a plugin that
lacks a setting raises ConfigError before the first delivery, and its sentence is shown.

With `required = True` (or LINQBOT_REQUIRED_PLUGINS) a plugin gates: the bot does not start without it, and while its
middleware fails, turns are deferred and nothing is sent. It is asked again each time, and never disabled. /readyz stays
ready, because deliveries are still stored, and names it under `failing`: watch that list.

Order: implementations with `@hookimpl(tryfirst=True)` first, those with `trylast=True` last, and by the plugins' names
within each. Hook wrappers are not taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import pluggy

if TYPE_CHECKING:
    import click
    from starlette.routing import BaseRoute

    from linqbot.bot.bot import Bot
    from linqbot.bot.context import Context
    from linqbot.bot.router import Middleware, Router
    from linqbot.client.call import ApiResponse, Call, Run
    from linqbot.client.client import Client
    from linqbot.clock import Clock
    from linqbot.events.delivery import Delivery
    from linqbot.events.event import Event
    from linqbot.storage.backend import Opener, Storage

GROUP: Final = "linqbot"
"""The entry-point group, and the name pluggy keeps our marks under."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

MAX_CARRIER_BYTES: Final = 4096
"""Of a carrier, as JSON."""

End: TypeAlias = Literal["ack", "retry", "defer", "dead_letter", "lost"]
"""How a turn ended: done; its handler failed and runs again; it waits for somebody else (Linq, a storage, a verdict);
given up as a dead letter; or `lost`: nothing was written, and it runs again, here or elsewhere."""

Reason: TypeAlias = Literal["forged", "out_of_time", "too_large", "incomplete", "closed", "busy", "unavailable"]
"""Why a POST was not taken: no signature of Linq's; a genuine one made too long ago; more than `max_body_bytes`; a body
that did not come whole in time; the app is starting or stopping; the backlog is full; the storage
could not keep it."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where a bot runs.

    Attributes:
        client: For calls of the plugin's own, outside any turn. They go through every plugin's outbound middleware,
            and in no journal: nothing repeats them after a crash.
        storage: Open from `started` to `stopped`.
        clock: What retries and timers go by.
    """

    bot: Bot
    client: Client
    storage: Storage
    clock: Clock


# What a plugin adds


@hookspec
def register_routers() -> Iterable[Router]:
    """Handlers, as routers. They stand behind the bot's own; with `tryfirst=True`, before them."""


@hookspec
def register_middleware() -> Iterable[Middleware]:
    """Inbound middleware, around the bot's own: `def timed(next): async def handle(event, ctx): …`.

    Errors of the handler pass through it. An error of its own disables the plugin and the event goes on without it;
    if the plugin is required, the turn is deferred instead. LinqbotErrors count as raised by what it called. Without a
    call of `next` the event ends there and is done; the first time, `event.stopped` in the log names the plugin.
    """


@hookspec
def register_outbound() -> Iterable[Callable[[Run], Run]]:
    """Outbound middleware: stands around every call of the bot's, hints and reads too, before the journal looks at it.

    Each is a function of `run` that returns what to run instead: `def gate(run): async def ask(call): …`. It is
    wrapped around anew for each call, so what it remembers belongs into the plugin. To veto, raise `Refused` with a
    reason that may be logged: `ctx.reply` and `ctx.send` then end with `status="refused"`, calls of `ctx.client` raise
    it, and the plugin stays as it is. Any other error of its own disables the plugin and the call is made without it;
    if the plugin is required nothing is sent and the turn is deferred. A turn that runs again asks again.
    """


@hookspec
def register_commands() -> Iterable[click.Command]:
    """Commands, as `linqbot <name>`. Asked of installed plugins only, and only for a name that linqbot has not."""


@hookspec
def register_routes(running: Running) -> Iterable[BaseRoute]:
    """Starlette routes, mounted under `/plugins/<name of the plugin>/`. Storage and client are not open yet."""


@hookspec
def register_health_checks(running: Running) -> Mapping[str, Callable[[], Awaitable[str | None]]]:
    """Checks by name, shown on /readyz; each is awaited for at most 2 s per request.

    None means well; a sentence, or raising, means not. Only a required plugin's makes /readyz answer 503.
    """


@hookspec
def register_storage() -> Mapping[str, Opener]:
    """Storages by the scheme of their URL. Asked of installed plugins only; a built-in scheme stays what it is."""


@hookspec
def register_context() -> Mapping[str, Callable[[Event, Context], Any]]:
    """Values handlers find as `ctx.plugins["name"]`: each is made when it is first asked for in a turn."""


# What a plugin may observe, in the order it happens


@hookspec
def started(running: Running) -> None:
    """The storage is open, and nothing was taken from it yet. May be `async def`: it is awaited, for at most 10 s."""


@hookspec
def refused(reason: Reason, status: int) -> None:
    """A POST to the webhook was not taken. In the request's task.

    Args:
        status: What was answered: 401 to a forgery, else 503, after which Linq comes again.
    """


@hookspec
def received(delivery: Delivery, headers: Mapping[str, str], carrier: dict[str, str]) -> None:
    """A webhook was verified and named, and is not stored yet. In the request's task; `stored` or `refused` follows.

    Args:
        headers: Of the request, names in lower case.
        carrier: Empty; what is put in is stored with the delivery, and given to `taken`, also after a restart. Of all
            plugins together at most 4096 bytes as JSON. A duplicate's is forgotten.
    """


@hookspec
def stored(delivery: Delivery, is_new: bool, took_s: float) -> None:
    """It is on disk, or was already. In the request's task, before Linq gets its 200.

    Args:
        took_s: Seconds the storage took, waiting for a shared commit included.
    """


@hookspec
def taken(  # noqa: PLR0917 - pluggy names them, whatever their place
    delivery: Delivery, carrier: Mapping[str, str], waited_s: float, attempts: int, crashes: int, replay: int
) -> None:
    """A turn begins. In the turn's task: context variables set here are seen by its handler and its calls.

    Each is followed by one `finished`, whatever ends the turn.

    Args:
        carrier: What `received` put in; empty for what came from no webhook.
        waited_s: Seconds since it was accepted.
        attempts: How many runs of its handler have failed before.
        crashes: How many times the process died over it.
        replay: 0, and one more each time it was deliberately replayed.
    """


@hookspec
def sent(call: Call, answer: ApiResponse | None, error: Exception | None, took_s: float, from_journal: bool) -> None:
    """A call to Linq was answered, or failed; hints and reads too. In the task that made it: the turn's, or a child.

    Told once per try of the journal's; the client's own repetitions are within one. A call that outbound middleware
    refused was none.

    Args:
        answer: None when `error` was raised.
        error: Its message may quote people: its class, `status` and `code` may be logged, nothing else.
        took_s: Seconds, the client's own repetitions included; 0 from the journal.
        from_journal: Linq was not asked: an earlier run of the turn had made the call.
    """


@hookspec
def handled(delivery: Delivery, event: Event, handler: str | None, took_s: float) -> None:
    """The handler, its middleware included, ended well. In the turn's task.

    An event of a type that no code of the bot's wants is told once; later ones are acked without being understood.

    Args:
        handler: `module:name`; None when none fitted.
    """


@hookspec
def failed(  # noqa: PLR0917 - pluggy names them, whatever their place
    delivery: Delivery,
    event: Event | None,
    handler: str | None,
    error: BaseException,
    outcome: Literal["retry", "defer", "dead_letter"],
    took_s: float,
) -> None:
    """A turn was ended by an error. In the turn's task.

    Args:
        event: None when it could not be understood, or none was made of it.
        handler: As in `handled`; None when it came not so far.
        error: What ended it. Its message may quote people.
        took_s: Seconds since the turn began.
    """


@hookspec
def finished(delivery: Delivery, outcome: End, took_s: float) -> None:
    """The turn's end is on disk, unless it is `lost`. In the turn's task, the last that happens in it.

    Args:
        took_s: Seconds since `taken`, the commit included.
    """


@hookspec
def stopped() -> None:
    """No turn runs any more; the storage is still open. May be `async def`, like `started`."""
