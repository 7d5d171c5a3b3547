"""Finds and loads plugins, for one app at a time, and keeps each one's faults its own.

pluggy knows who implements which hook of `hookspecs.py`, and checks their arguments. They are called here, one by one:
an error, or too much time, is blamed on a plugin by name, and the others never notice. What a plugin adds is asked for
by the room that uses it, with `ask`. Nobody listening costs one look at an attribute:
`if (tell := plugins.stored) is not None`.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
import inspect
import json
import re
import signal
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, TypeAlias, TypeVar

import pluggy
import structlog

from linqbot import hookspecs
from linqbot.errors import ConfigError, LinqbotError
from linqbot.events.delivery import Delivery
from linqbot.hookspecs import GROUP, MAX_CARRIER_BYTES

log = structlog.get_logger("linqbot.plugins")

T = TypeVar("T")
Status: TypeAlias = Literal["active", "failing", "disabled", "left out"]
Tell: TypeAlias = Callable[..., None]
Watch: TypeAlias = Callable[[str, str], AbstractContextManager[object]]
"""Told a plugin's name and what it is asked for; what it returns is entered while that plugin has its say."""

SLOW_S: Final = 0.05
"""An observing call that takes longer holds up every chat."""
SLOW_CALLS: Final = 5
SLOW_SHARE: Final = 0.2
OF_CALLS: Final = 100
"""So many slow calls, and that share of the latest, are the plugin's fault: a machine with too much to do makes a few."""

OBSERVED: Final = ("received", "stored", "refused", "taken", "sent", "handled", "failed", "finished")
AROUND: Final = ("started", "stopped")
"""Hooks that may be `async def`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OF_CODE = (ImportError, SyntaxError, NameError, AttributeError, TypeError, LinqbotError, pluggy.PluginValidationError)
"""Errors whose messages tell of code, or were written to be read. Others may hold a password of somebody's database."""
_NOT_THEIRS = tuple(str(Path(str(module.__file__)).parent) for module in (hookspecs, pluggy, importlib))


@dataclass(slots=True, eq=False)
class Plugin:
    """One plugin of one app.

    Attributes:
        distribution, version: What it was installed with; None when the bot's own code brings it.
        hooks: What it implements.
        required: It gates: no verdict of its, no send; and no start without it.
        status: `active`; `failing`, a required one that lately could not do its part; `disabled` by a fault; or
            `left out`: not loaded, because somebody said so.
        why: What is wrong, without anything people said.
        observer_error: Why a required one is not told something any more, though it still gates.
        is_built_in: It is a part of linqbot that uses the same doors.
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

    @property
    def is_on(self) -> bool:
        """Whether it takes part."""
        return self.status in {"active", "failing"}


@dataclass(slots=True, eq=False)
class Impl:
    """One plugin's implementation of one hook.

    Attributes:
        rank: 0 to come first, 2 to come last.
        calls, slow: How many of its latest calls were slow; counted anew after `OF_CALLS`.
    """

    plugin: Plugin
    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    rank: int
    calls: int = 0
    slow: int = 0

    def __call__(self, facts: Mapping[str, Any]) -> Any:
        return self.function(**{name: facts[name] for name in self.arguments})


class Plugins:
    """The plugins of one app.

    The attributes named like hooks tell whoever listens, and are None when nobody does. What `received` is told goes
    through `receive`, and what `taken` is told through `take`, which keep each plugin's carrier apart.

    Args:
        timer: Seconds that never go back.
        watch: See `Watch`.
        lenient: Disable a required plugin that fails, as any other, instead of raising: to look at what is wrong.
    """

    def __init__(
        self,
        *,
        timer: Callable[[], float] = time.perf_counter,
        watch: Watch | None = None,
        lenient: bool = False,
    ) -> None:
        self.every: list[Plugin] = []
        self.received: Tell | None = None
        self.stored: Tell | None = None
        self.refused: Tell | None = None
        self.taken: Tell | None = None
        self.sent: Tell | None = None
        self.handled: Tell | None = None
        self.failed: Tell | None = None
        self.finished: Tell | None = None
        self._impls: dict[str, list[Impl]] = {}
        self._timer = timer
        self._lenient = lenient
        self.watch: Watch = watch or (lambda _, __: nullcontext())

    # Loading

    def add(self, plugin: Plugin, load: Callable[[], object]) -> None:
        """Load a plugin and note what it implements; a fault is its own.

        Raises:
            ConfigError: it is required, and cannot be loaded.
        """
        self.every.append(plugin)
        if not plugin.is_on:
            return
        try:
            target = load()
            # Before it is made: that may fail, and is no reason to send without it.
            plugin.required = plugin.required or getattr(target, "required", False) is True
            given = _made(target)
            plugin.required = plugin.required or getattr(given, "required", False) is True
            impls = _implemented(given, plugin)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            # A module may end with sys.exit() as well.
            self.blame(plugin, "loading it", error, tell_all=True)
            return
        plugin.hooks = tuple(impl.hook for impl in impls)
        for impl in impls:
            self._impls.setdefault(impl.hook, []).append(impl)

    def listen(self) -> None:
        """Put the hooks in order, and tell from now on whoever listens. Called when all are added."""
        self.every.sort(key=lambda plugin: plugin.name)
        for impls in self._impls.values():
            impls.sort(key=_rank)
        for hook in OBSERVED:
            self._connect(hook)

    def _connect(self, hook: str) -> None:
        impls = self._impls.get(hook)
        setattr(self, hook, self._teller(hook) if impls else None)

    # Adding

    def ask(self, hook: str, fit: Callable[[Any], T], **facts: Any) -> list[tuple[Impl, T]]:
        """What each plugin adds through a `register_…` hook, in order.

        Args:
            fit: Makes of what it returned what is needed; what it raises is the plugin's fault.
        Raises:
            ConfigError: a required one failed.
        """
        found = []
        for impl in list(self._impls.get(hook, ())):
            try:
                with self.watch(impl.plugin.name, hook):
                    found.append((impl, fit(impl(facts))))
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                self.blame(impl.plugin, hook, error, tell_all=True)
        return found

    def around(self, hook: str, **facts: Any) -> list[tuple[Plugin, Callable[[], Any]]]:
        """Who implements `started` or `stopped`, ready to be called."""
        return [(impl.plugin, lambda impl=impl: impl(facts)) for impl in self._impls.get(hook, ())]  # type: ignore[misc]

    # Observing

    def receive(self, delivery: Delivery, headers: Mapping[str, str]) -> Delivery:
        """Tell of a `received` delivery. Returns it with what plugins let travel with it."""
        carriers: dict[str, dict[str, str]] = {}
        for impl in list(self._impls.get("received", ())):
            carrier: dict[str, str] = {}
            self._tell(impl, {"delivery": delivery, "headers": headers, "carrier": carrier})
            if not carrier or not impl.plugin.is_on:
                continue
            if (problem := _unfit(carrier)) is not None:
                self._fault(impl, problem)
            else:
                carriers[impl.plugin.name] = carrier
        return replace(delivery, carrier=json.dumps(carriers)) if carriers else delivery

    def take(self, delivery: Delivery, **facts: Any) -> None:
        """Tell of a `taken` delivery, and give back what each plugin let travel with it."""
        carriers = json.loads(delivery.carrier) if delivery.carrier else {}
        for impl in list(self._impls.get("taken", ())):
            carrier = carriers.get(impl.plugin.name, {})
            self._tell(impl, {"delivery": delivery, "carrier": carrier, **facts})

    def _teller(self, hook: str) -> Tell:
        def tell(**facts: Any) -> None:
            # A copy: whoever is disabled meanwhile leaves the list.
            for impl in tuple(self._impls[hook]):
                self._tell(impl, facts)

        return tell

    def _tell(self, impl: Impl, facts: Mapping[str, Any]) -> None:
        began = self._timer()
        try:
            with self.watch(impl.plugin.name, impl.hook):
                impl(facts)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            # An observer must not end what it observes.
            self._fault(impl, _told(impl.hook, error))
            return
        impl.calls += 1
        if self._timer() - began > SLOW_S:
            impl.slow += 1
            if impl.slow >= max(SLOW_CALLS, SLOW_SHARE * impl.calls):
                told = f"{impl.hook} took over {SLOW_S * 1000:.0f} ms in {impl.slow} of {impl.calls} calls"
                self._fault(impl, f"{told}; do the work in a thread or a task")
        if impl.calls >= OF_CALLS:
            impl.calls = impl.slow = 0

    # Faults

    def blame(self, plugin: Plugin, hook: str, error: BaseException, *, tell_all: bool = False) -> None:
        """Disable a plugin that failed at adding something.

        Args:
            tell_all: Say its message too, if that tells of code: nobody can be quoted before the first delivery.
        Raises:
            ConfigError: it is required.
        """
        why = _told(hook, error, tell_all=tell_all)
        if plugin.required and not self._lenient:
            raise ConfigError(
                f"The plugin {plugin.name} is required, and failed: {why}. Nothing is sent without it, so the bot does "
                f"not start. Correct or update it; or, if it may be missing, see LINQBOT_REQUIRED_PLUGINS."
            ) from error
        self.disable(plugin, why)

    def disable(self, plugin: Plugin, why: str) -> None:
        """Let a plugin take no further part, and say so once."""
        if not plugin.is_on:
            return
        plugin.status, plugin.why = "disabled", why
        for hook, impls in self._impls.items():
            self._impls[hook] = [impl for impl in impls if impl.plugin is not plugin]
        for hook in OBSERVED:
            self._connect(hook)
        log.error("plugin.disabled", plugin=plugin.name, why=why)

    def failing(self, plugin: Plugin, why: str) -> None:
        """A required plugin could not do its part. Its gate stays closed; said once until it opens again."""
        if plugin.status != "failing" or plugin.why != why:
            log.error("plugin.failing", plugin=plugin.name, why=why)
        plugin.status, plugin.why = "failing", why

    def recovered(self, plugin: Plugin) -> None:
        """A required plugin did its part."""
        if plugin.status == "failing":
            plugin.status, plugin.why = "active", None
            log.info("plugin.recovered", plugin=plugin.name)

    def gone_wrong(self, plugin: Plugin, what: str, error: BaseException) -> str:
        """A plugin's middleware failed: note it. Returns why, in words that may be logged."""
        why = _told(what, error)
        (self.failing if plugin.required else self.disable)(plugin, why)
        return why

    def _fault(self, impl: Impl, why: str) -> None:
        if not impl.plugin.required:
            self.disable(impl.plugin, why)
            return
        # Its gate must go on; only this ear of it is shut.
        self._impls[impl.hook].remove(impl)
        self._connect(impl.hook)
        impl.plugin.observer_error = why
        log.error("plugin.observer_failed", plugin=impl.plugin.name, why=why)

    def report(self) -> dict[str, str]:
        """How each is, for /readyz; without those left out on purpose."""
        told = [plugin for plugin in self.every if plugin.status != "left out" and not plugin.is_built_in]
        return {
            plugin.name: ": ".join(filter(None, (plugin.status, plugin.why or plugin.observer_error)))
            for plugin in told
        }


def load(
    given: Iterable[object] = (),
    *,
    discover: bool = False,
    allowed: Collection[str] | None = None,
    required: Collection[str] = (),
    without: Collection[str] = (),
    built_in: Iterable[ModuleType] = (),
    watch: Watch | None = None,
    lenient: bool = False,
) -> Plugins:
    """The plugins of one app, in the order of their names.

    Args:
        given: What the bot's code brings: plugins (classes, which are made here, modules, or objects), and names of
            installed ones it needs.
        discover: Also load what else is installed.
        allowed: Names of installed plugins that may be loaded; None is all. `given` plugins are always.
        required: Names of plugins without which nothing may be sent.
        without: Names to leave out, whoever wants them; they are not required then.
        built_in: Parts of linqbot that come through the same doors.
        watch, lenient: See `Plugins`.
    Raises:
        ConfigError: a required plugin is missing or cannot be loaded; a given name is not installed, or is given twice.
    """
    given = tuple(given)
    own, named = _own(given), {name for name in given if isinstance(name, str)}
    wanted = named | (set(required) - own.keys())
    entries = [entry for entry in _installed() if discover or entry.name in wanted] if discover or wanted else []
    there = {*own, *(entry.name for entry in entries)}
    _refuse_missing(named, "The bot names", there)
    _refuse_missing(set(required) - set(without), "LINQBOT_REQUIRED_PLUGINS names", there)

    plugins = Plugins(watch=watch, lenient=lenient)
    for module in built_in:
        plugins.add(Plugin(name_of(module), is_built_in=True), partial(_given, module))
    for name, target in own.items():
        plugins.add(_admitted(Plugin(name, required=name in required), None, without), partial(_given, target))
    for entry in entries:
        plugin = Plugin(entry.name, *((entry.dist.name, entry.dist.version) if entry.dist else ()))
        if any(other.name == entry.name for other in plugins.every):
            plugin.status, plugin.why = "left out", "another plugin has its name"
        else:
            plugin.required = entry.name in required
            _admitted(plugin, allowed, without)
        plugins.add(plugin, entry.load)
    plugins.listen()
    return plugins


def _admitted(plugin: Plugin, allowed: Collection[str] | None, without: Collection[str]) -> Plugin:
    if plugin.name in without:
        plugin.required, plugin.status, plugin.why = False, "left out", "left out of this run"
    elif allowed is not None and plugin.name not in allowed:
        plugin.status, plugin.why = "left out", "LINQBOT_PLUGINS does not name it"
        if plugin.required:
            raise ConfigError(
                f"The plugin {plugin.name} is required, but LINQBOT_PLUGINS does not name it. Add it there, or take it "
                "out of LINQBOT_REQUIRED_PLUGINS."
            )
    return plugin


def is_ctrl_c(error: BaseException) -> bool:
    """Return True if an error is a KeyboardInterrupt that a signal may have raised, and not code that raised one."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def is_closing(task: asyncio.Task[Any] | None) -> bool:
    """Return True if the running coroutine is being closed from outside: its own task is not the one that runs."""
    try:
        return task is None or asyncio.current_task() is not task
    except RuntimeError:  # no event loop runs any more
        return True


def _given(target: object) -> object:
    return target


def _made(given: object) -> object:
    """The plugin that was given: an instance of its own of a class, made by a function, or the thing itself."""
    return given() if isinstance(given, type) or inspect.isfunction(given) else given


def name_of(given: object) -> str:
    """What a plugin is called that the bot's code brings: its `name`, or that of its module or class."""
    name = getattr(given, "name", None)
    if isinstance(name, str):
        return name
    if isinstance(given, ModuleType | type) or inspect.isfunction(given):
        return given.__name__
    return type(given).__name__


def _own(given: Iterable[object]) -> dict[str, object]:
    own: dict[str, object] = {}
    for target in given:
        if isinstance(target, str):
            continue
        name = name_of(target)
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be a plugin's name. Use letters, digits, dots, dashes.")
        if name in own:
            raise ConfigError(f"Two plugins of the bot are called {name}. Give one of them another `name`.")
        own[name] = target
    return own


def _installed() -> list[EntryPoint]:
    """What is installed, in order; of two with one name, that of the first distribution."""
    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.dist.name if entry.dist else ""))


def _refuse_missing(names: Collection[str], who: str, there: Collection[str]) -> None:
    for name in sorted(names):
        if name in there:
            continue
        near = difflib.get_close_matches(name, there, n=1)
        hint = f"Did you mean {near[0]}?" if near else "Install it, or see what there is: linqbot plugins list"
        raise ConfigError(f"{who} the plugin {name}, which is not installed. {hint}")


def _implemented(given: object, plugin: Plugin) -> list[Impl]:
    """What an object implements, its arguments checked.

    Raises:
        TypeError: something in it cannot work.
    """
    if not _NAME.fullmatch(plugin.name):
        raise TypeError(f"{plugin.name!r} cannot be a plugin's name: use letters, digits, dots, dashes")
    # One of its own, that remembers nothing of the others.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(given, plugin.name)
    impls = []
    for caller in manager.get_hookcallers(given) or ():
        if not caller.has_spec():
            near = difflib.get_close_matches(caller.name, [name for name in vars(hookspecs) if name.islower()], n=1)
            raise TypeError(f"there is no hook {caller.name}" + (f"; did you mean {near[0]}?" if near else ""))
        impls += [_impl(plugin, caller.name, impl) for impl in caller.get_hookimpls()]
    if not impls:
        raise TypeError("it implements no hook; mark its functions with @hookimpl")
    return impls


def _impl(plugin: Plugin, hook: str, found: pluggy.HookImpl) -> Impl:
    if found.wrapper or found.hookwrapper:
        raise TypeError(f"{hook} is a hook wrapper, and those are not taken")
    if inspect.iscoroutinefunction(found.function) and hook not in AROUND:
        raise TypeError(f"{hook} is async, and must be a plain def")
    wanted = inspect.signature(found.function).parameters
    arguments = tuple(name for name in inspect.signature(getattr(hookspecs, hook)).parameters if name in wanted)
    return Impl(plugin, hook, found.function, arguments, rank=0 if found.tryfirst else 2 if found.trylast else 1)


def _rank(impl: Impl) -> tuple[bool, int, str]:
    return not impl.plugin.is_built_in, impl.rank, impl.plugin.name


def _unfit(carrier: Mapping[Any, Any]) -> str | None:
    if not all(isinstance(text, str) for pair in carrier.items() for text in pair):
        return "received put something other than texts into its carrier"
    if (size := len(json.dumps(carrier))) > MAX_CARRIER_BYTES:
        return f"received put {size} bytes into its carrier; {MAX_CARRIER_BYTES} are the most"
    return None


def _told(what: str, error: BaseException, *, tell_all: bool = False) -> str:
    """What happened, in words that may be logged: what an exception says may quote a message, or a secret."""
    says = " ".join(str(error).split())[:300] if tell_all and isinstance(error, _OF_CODE) else ""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_NOT_THEIRS)]
    frames = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    at = f" at {Path(frames[0].filename).name}:{frames[0].lineno}" if frames else ""
    return f"{what} raised {type(error).__name__}{at}" + (f": {says}" if says else "")
