"""The plugins of one app: the hooks they implement, and the faults that disable them.

pluggy knows the hooks of `hookspecs.py`, but here they are called, one implementation at a time: an error or a slow
call is blamed on one plugin by name and leaves the others alone. A folder of linqbot collects what plugins add with
`Plugins.ask`. What plugins observe (`turn_events.py`) is in `Plugins.observers`, by the class of the event. If no plugin
observes a class, an event costs one look at a dict: `if (notify := plugins.observers.get(Routed)) is not None`.

An observer must neither end nor delay what it observes. After an error, or after too many slow calls, its plugin is
disabled, and the other plugins do not notice.
"""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

import pluggy
import structlog

from linqbot.errors import ConfigError, LinqbotError, error_name
from linqbot.frames import file_name
from linqbot.interrupts import is_ctrl_c
from linqbot.linq.events.delivery import Delivery
from linqbot.turn_events import DeliveryReceived, Observers, QuotingEvent, TurnEvent, TurnReport, TurnTaken

if TYPE_CHECKING:
    from linqbot.storage.backend import StorageBackend

log = structlog.get_logger("linqbot.plugins")

T = TypeVar("T")
MAX_CARRIER_BYTES: Final = 4096
"""Largest carrier of one plugin, in bytes of JSON."""

LIFECYCLE: Final = ("started", "stopped")
"""Hooks that may be `async def`."""


def only(kind: type[T]) -> Callable[[Iterable[object]], list[T]]:
    """Return a function for `Plugins.ask`, which takes a hook's objects of one class and raises a TypeError for any other."""

    def fit(given: Iterable[object]) -> list[T]:
        found: list[T] = []
        for each in given:
            if not isinstance(each, kind):
                raise TypeError(f"a {type(each).__name__} is no {kind.__name__}")
            found.append(each)
        return found

    return fit


class Plugins:
    """The plugins of one app. `linqbot.plugin_loading.load` makes them.

    Args:
        lenient: Disable a required plugin that fails, like any other, instead of raising. For commands that examine
            plugins.
    Attributes:
        every: All plugins, those left out and disabled included.
        observers: What notifies the observers of each class of events. The observers of `DeliveryReceived` and `TurnTaken` are
            notified by `notify_received` and `notify_taken`, which give each plugin its own carrier.
    """

    def __init__(self, *, lenient: bool = False) -> None:
        self.every: list[Plugin] = []
        self.observers: Observers = {}
        self._observing: dict[type[TurnEvent], tuple[Observer, ...]] = {}
        self._impls: dict[str, tuple[Impl, ...]] = {}
        self._lenient = lenient

    # Registering

    def register(self, plugin: Plugin, impls: Iterable[Impl]) -> None:
        for impl in impls:
            plugin.hooks += (impl.hook,)
            self._impls[impl.hook] = (*self._impls.get(impl.hook, ()), impl)

    def connect(self) -> None:
        """Put plugins and hooks in order, and start to notify observers. Called once, after the last `register`."""
        self.every.sort(key=lambda plugin: plugin.name)
        for hook, impls in self._impls.items():
            self._impls[hook] = tuple(sorted(impls, key=_order))
        self._add_observers()

    def _add_observers(self) -> None:
        for impl, added in self.ask("register_observers", _observers):
            quoting = next((kind for kind in added if issubclass(kind, QuotingEvent)), None)
            if quoting is not None and impl.plugin.distribution is not None:
                why = f"{quoting.__name__} quotes people, so an installed plugin cannot observe it"
                self.blame(impl.plugin, impl.hook, WrongUse(why))
                continue
            for kind, call in added.items():
                self._connect(kind, (*self._observing.get(kind, ()), Observer(impl.plugin, kind, call)))

    def _connect(self, kind: type[TurnEvent], observers: Iterable[Observer]) -> None:
        # A tuple, because a call may disable a plugin, and goes on with the observers that it began with.
        self._observing[kind] = found = tuple(observers)
        if found:
            self.observers[kind] = partial(self._notify, found)
        else:
            self.observers.pop(kind, None)

    def observe_only(self, observers: Observers) -> None:
        """Notify these functions from now on, and no plugin."""
        self._observing.clear()
        self.observers.clear()
        self.observers.update(observers)

    # Calling hooks

    def ask(self, hook: str, fit: Callable[[Any], T], **facts: Any) -> list[tuple[Impl, T]]:
        """Collect what each plugin adds through a `register_…` hook.

        Args:
            fit: Converts what an implementation returned to what the caller needs. An error that it raises is the
                plugin's fault.
            facts: Arguments of the hook.
        Returns:
            Each implementation and the converted result, in order.
        Raises:
            ConfigError: a required plugin failed.
        """
        found = []
        for impl in self._impls.get(hook, ()):
            try:
                found.append((impl, fit(impl.call(**facts))))
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                self.blame(impl.plugin, hook, error)
        return found

    def backends(self) -> dict[str, StorageBackend]:
        """Return the backend of each URL scheme of a storage. Of two of one scheme the first wins; linqbot's own come first.

        Raises ConfigError if the hook of a required plugin failed.
        """
        found: dict[str, StorageBackend] = {}
        for impl, added in self.ask("register_storage", dict[str, "StorageBackend"]):
            if taken := found.keys() & added.keys():
                self.blame(impl.plugin, impl.hook, ConfigError(f"{min(taken)}:// already has a backend"))
            else:
                found |= added
        return found

    def lifecycle_calls(self, hook: str, **facts: Any) -> list[tuple[Plugin, Callable[[], Any]]]:
        """Return each plugin that implements `started` or `stopped`, with a function that calls its implementation."""
        return [(impl.plugin, partial(impl.call, **facts)) for impl in self._impls.get(hook, ())]

    def notify_received(self, delivery: Delivery, headers: Mapping[str, str]) -> Delivery:
        """Notify the observers of `DeliveryReceived`. Returns the delivery with what plugins put into their carriers."""
        carriers: dict[str, dict[str, str]] = {}
        for observer in self._observing.get(DeliveryReceived, ()):
            carrier: dict[str, str] = {}
            self._notify((observer,), DeliveryReceived(delivery, headers, carrier))
            if not carrier or not observer.plugin.is_on:
                continue
            if (problem := _problem_of(carrier)) is not None:
                self._disable_observer(observer, f"{observer} {problem}")
            else:
                carriers[observer.plugin.name] = carrier
        return replace(delivery, carrier=json.dumps(carriers)) if carriers else delivery

    def notify_taken(self, report: TurnReport) -> None:
        """Notify the observers of `TurnTaken`, each with the carrier that its plugin has filled."""
        carrier = report.delivery.carrier
        carriers = json.loads(carrier) if carrier else {}
        for observer in self._observing.get(TurnTaken, ()):
            self._notify((observer,), TurnTaken(report, carriers.get(observer.plugin.name, {})))

    def _notify(self, observers: Iterable[Observer], event: TurnEvent) -> None:
        """Call observers. The error of one does not keep the others from being called.

        Raises:
            KeyboardInterrupt: Ctrl-C. No other error is raised.
        """
        for observer in observers:
            began = perf_counter()
            try:
                observer.call(event)
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                self._disable_observer(observer, describe(str(observer), error))
                continue
            took_s = perf_counter() - began
            observer.calls += 1
            if took_s > SLOW_S or observer.calls >= CALLS_PER_PERIOD:
                self._judge(observer, took_s)

    # Faults

    def blame(self, plugin: Plugin, hook: str, error: BaseException) -> None:
        """Disable a plugin that failed while it was loaded, asked or started. Its error is logged with its message.

        No delivery has come by then, so the message cannot quote a person.

        Raises:
            ConfigError: the plugin is required.
        """
        why = describe(hook, error, with_message=True)
        if plugin.required and not self._lenient:
            raise ConfigError(
                f"The plugin {plugin.name} is required, and failed: {why}. Nothing is sent without it, so the bot does "
                f"not start. Correct or update it; or, if it may be missing, see LINQBOT_REQUIRED_PLUGINS."
            ) from error
        self.disable(plugin, why)

    def disable(self, plugin: Plugin, why: str) -> None:
        """Stop calling a plugin, and log the reason."""
        if not plugin.is_on:
            return
        plugin.status, plugin.why = "disabled", why
        for hook, impls in self._impls.items():
            self._impls[hook] = tuple(impl for impl in impls if impl.plugin is not plugin)
        for kind, observers in self._observing.items():
            self._connect(kind, (each for each in observers if each.plugin is not plugin))
        log.error("plugin.disabled", plugin=plugin.name, why=why)

    def note_failure(self, plugin: Plugin, what: str, error: BaseException) -> str:
        """Mark a required plugin as failing, or disable any other, after an error in its code.

        Args:
            what: What the plugin was called for, such as its middleware.
        Returns:
            The reason, in words that may be logged.
        """
        why = describe(what, error)
        if not plugin.required:
            self.disable(plugin, why)
            return why
        if plugin.failing.get(what) != why:  # each reason is logged once, until the plugin recovers
            log.error("plugin.failing", plugin=plugin.name, why=why)
        plugin.failing[what] = why
        plugin.status, plugin.why = "failing", why
        return why

    def note_success(self, plugin: Plugin, what: str) -> None:
        """Mark a failing plugin as active again after a call that succeeded, if nothing else of the plugin fails."""
        if plugin.failing.pop(what, None) is None:
            return
        plugin.why = next(iter(plugin.failing.values()), None)
        if plugin.why is None:
            plugin.status = "active"
            log.info("plugin.recovered", plugin=plugin.name)

    def _disable_observer(self, observer: Observer, why: str) -> None:
        plugin, kind = observer.plugin, observer.event
        if not plugin.required:
            self.disable(plugin, why)
            return
        # A required plugin's middleware must go on deciding; only this observer is no longer called.
        self._connect(kind, (each for each in self._observing[kind] if each is not observer))
        plugin.observer_error = why
        log.error("plugin.observer_failed", plugin=plugin.name, why=why)

    def _judge(self, observer: Observer, took_s: float) -> None:
        if took_s > SLOW_S:
            observer.slow_calls += 1
            if observer.slow_calls >= max(MIN_SLOW_CALLS, MIN_SLOW_SHARE * observer.calls):
                counted = f"{observer.slow_calls} of {observer.calls} calls"
                why = f"{observer} took over {SLOW_S * 1000:.0f} ms in {counted}; do the work in a thread or a task"
                self._disable_observer(observer, why)
        if observer.calls >= CALLS_PER_PERIOD:
            observer.calls = observer.slow_calls = 0

    def report(self) -> dict[str, str]:
        """Return the status of each plugin, with the reason, for /readyz. Built-in and left-out plugins are not shown."""
        shown = [plugin for plugin in self.every if plugin.status != "left out" and not plugin.is_built_in]
        return {
            plugin.name: ": ".join(filter(None, (plugin.status, plugin.why or plugin.observer_error)))
            for plugin in shown
        }


def _observers(given: Observers) -> Observers:
    """Return what `register_observers` gave, checked. Raises TypeError if it is not as the hook asks for."""
    if not isinstance(given, Mapping):
        raise TypeError(
            f"it returned a {type(given).__name__}, and must return a dict of classes of events and functions"
        )
    for kind, call in given.items():
        if not (isinstance(kind, type) and issubclass(kind, TurnEvent)):
            raise TypeError(f"{getattr(kind, '__name__', kind)!r} is no class of linqbot.turn_events")
        if not callable(call):
            raise TypeError(f"its observer of {kind.__name__} is a {type(call).__name__}, which cannot be called")
        if inspect.iscoroutinefunction(call):
            raise TypeError(f"its observer of {kind.__name__} is async, and must be a plain def")
    return dict(given)


def _order(impl: Impl) -> tuple[bool, int, str]:
    return not impl.plugin.is_built_in, impl.rank, impl.plugin.name


COMPILED: Final = "<linqbot hook>"
"""The file name of the compiled function that calls a plugin's, in tracebacks and stacks: see `Impl.call`."""

Status: TypeAlias = Literal["active", "failing", "disabled", "left out"]


@dataclass(slots=True, eq=False)
class Plugin:
    """One plugin of one app.

    Attributes:
        distribution, version: The installed package that brings the plugin; None if the bot's own code does.
        hooks: Names of the hooks that the plugin implements.
        required: Fail closed. If the plugin cannot be loaded, the bot does not start; while its middleware fails,
            nothing is sent.
        status: `active`; `failing`, a required plugin of which a latest call failed; `disabled` after a fault; or
            `left out`, not loaded, because of the configuration or because another plugin has its name.
        why: Reason for the status. Holds no text of a person.
        observer_error: Error that disabled an observer of a required plugin. Its middleware still runs.
        is_built_in: The plugin is a part of linqbot that uses the same hooks.
        failing: Of a required plugin, why the latest call of each kind failed, such as of its outbound middleware.
    """

    name: str
    distribution: str | None = None
    version: str | None = None
    hooks: tuple[str, ...] = ()
    required: bool = False
    status: Status = "active"
    why: str | None = None
    observer_error: str | None = None
    is_built_in: bool = False
    failing: dict[str, str] = field(default_factory=dict)

    @property
    def is_on(self) -> bool:
        """Return True if the plugin is called: it is active, or required and failing."""
        return self.status in {"active", "failing"}


@dataclass(slots=True, eq=False)
class Impl:
    """One plugin's implementation of one hook.

    Attributes:
        call: Calls the plugin's function. Takes all arguments of the hook, in the order of `hookspecs.py`.
        rank: Position among the implementations: 0 first, 1 by the plugin's name, 2 last.
    """

    plugin: Plugin
    hook: str
    call: Callable[..., Any]
    rank: int


@dataclass(slots=True, eq=False)
class Observer:
    """One plugin's observer of one class of events.

    Attributes:
        calls, slow_calls: Number of calls and of slow calls in the current period, see `CALLS_PER_PERIOD`.
    """

    plugin: Plugin
    event: type[TurnEvent]
    call: Callable[[Any], None]
    calls: int = 0
    slow_calls: int = 0

    def __str__(self) -> str:
        return f"its observer of {self.event.__name__}"


SLOW_S: Final = 0.05
"""Seconds from which a call counts as slow: it holds up every chat."""

CALLS_PER_PERIOD: Final = 100
"""Slow calls are counted over this many calls; then the count starts again at 0."""

MIN_SLOW_CALLS: Final = 5
MIN_SLOW_SHARE: Final = 0.2
"""A plugin is disabled when it made this many slow calls and they are this share of its calls in the current period.
Fewer are not the plugin's fault: on a busy machine any call may be slow."""


def _problem_of(carrier: Mapping[Any, Any]) -> str | None:
    if not all(isinstance(text, str) for pair in carrier.items() for text in pair):
        return "put something other than strings into its carrier"
    if (size := len(json.dumps(carrier))) > MAX_CARRIER_BYTES:
        return f"put {size} bytes into its carrier; the maximum is {MAX_CARRIER_BYTES}"
    return None


_MAX_MESSAGE: Final = 300

_SAFE_ERRORS = (
    ImportError,
    SyntaxError,
    NameError,
    AttributeError,
    TypeError,
    LinqbotError,
    pluggy.PluginValidationError,
)
"""Errors whose messages are about code, or were written to be read. Others may hold a secret, such as the password of
a database."""

_LEAD_TO_PLUGINS: Final = {"linqbot", "pluggy", "importlib", "importlib_metadata"}
"""Packages whose code only leads to a plugin's code: linqbot, pluggy and the import system.

If the backport importlib_metadata is installed, its classes load the entry points."""


class WrongUse(TypeError):
    """A mistake of a plugin in its use of linqbot. Its message is about code only, so it may always be logged."""


def describe(what: str, error: BaseException, *, with_message: bool = False) -> str:
    """Return a sentence about an error of a plugin: what was called, the error's class and the place in the code.

    Args:
        what: What the plugin was called for, such as a hook's name.
        with_message: Add the error's message, if it is of a kind that is about code. Without it the message is left
            out, because it may quote a person or hold a secret; but not if no code of the plugin ran, such as when the
            plugin's function does not take the arguments that it got.
    """
    places = [
        f" at {file_name(frame.f_code.co_filename)}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not _leads_to_plugin(frame)
    ]
    at = places[0] if places else ""
    is_about_code = isinstance(error, WrongUse) or (isinstance(error, TypeError) and not places)
    is_shown = is_about_code or (with_message and isinstance(error, _SAFE_ERRORS))
    # Without a full stop: what is returned is a part of sentences that end with one.
    message = " ".join(str(error).split())[:_MAX_MESSAGE].removesuffix(".") if is_shown else ""
    raised = "" if isinstance(error, WrongUse) else f" raised {error_name(error)}"
    return f"{what}{raised}{at}" + (f": {message}" if message else "")


def _leads_to_plugin(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _LEAD_TO_PLUGINS
