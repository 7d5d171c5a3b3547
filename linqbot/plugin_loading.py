"""Finds and loads the plugins of one app: installed packages by their entry points, and what the bot's code brings.

pluggy finds the hooks that a plugin implements and checks their arguments. A plugin that cannot be loaded is disabled,
or, if it is required, keeps the app from starting. `plugins/registry.py` calls the hooks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType
from typing import Final

import pluggy

from linqbot import hookspecs
from linqbot.errors import ConfigError, SettingWrong
from linqbot.hook_markers import GROUP
from linqbot.interrupts import is_ctrl_c
from linqbot.nearest import nearest_name
from linqbot.plugins.registry import COMPILED, LIFECYCLE, Impl, Plugin, Plugins

_NO_PLUGINS: Final[Mapping[str, object]] = MappingProxyType({})
_COLLECTS_REST: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
NAME_TAKEN: Final = "another installed plugin has its name"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def load(
    given: Iterable[object] = (),
    *,
    discover: bool = False,
    allowed: Collection[str] | None = None,
    required: Collection[str] = (),
    built_in: Iterable[object] = (),
    lenient: bool = False,
) -> Plugins:
    """Load the plugins of one app.

    Args:
        given: Plugins of the bot's code: classes, of which one instance is made here, modules, or other objects; and
            names of installed plugins that the bot needs.
        discover: Also load every other installed plugin.
        allowed: Names of the installed plugins that may be loaded; None allows all. Plugins of the bot's code are
            always allowed.
        required: Names of plugins without which nothing may be sent.
        built_in: Modules and objects of linqbot that implement hooks.
        lenient: See `Plugins`.
    Returns:
        The plugins, sorted by name, with their observing hooks connected.
    Raises:
        ConfigError: a required plugin is missing or cannot be loaded; a name in `given` or `allowed` is not installed; a
            name in `given` or `required` is not in `allowed`; or two plugins of the bot's code have the same name.
    """
    given = tuple(given)
    own, named = _own(given), {name for name in given if isinstance(name, str)}
    wanted = named | (set(required) - own.keys())
    listed = installed() if discover or wanted or allowed else []
    entries = [entry for entry in listed if discover or entry.name in wanted]
    known = {*own, *(entry.name for entry in listed)}
    _refuse_missing(ConfigError, named, "The bot names", known)
    _refuse_missing(SettingWrong, required, "LINQBOT_REQUIRED_PLUGINS names", known)
    # A misspelt name would leave out the plugin that was meant, without a word.
    _refuse_missing(SettingWrong, allowed or (), "LINQBOT_PLUGINS names", known)
    if allowed is not None and (barred := sorted(wanted - own.keys() - set(allowed))):
        who = "The bot" if barred[0] in named else "LINQBOT_REQUIRED_PLUGINS"
        raise ConfigError(
            f"{who} names the plugin {barred[0]}, but LINQBOT_PLUGINS does not. Add it there, or "
            "take it out of the bot and of LINQBOT_REQUIRED_PLUGINS."
        )

    plugins = Plugins(lenient=lenient)
    for part in built_in:
        _add(plugins, Plugin(name_of(part), is_built_in=True), partial(_identity, part))
    for name, target in own.items():
        _add(plugins, Plugin(name, required=name in required), partial(_identity, target))
    for entry in entries:
        plugin = Plugin(entry.name, *((entry.dist.name, entry.dist.version) if entry.dist else ()))
        if entry.name in own:
            plugin.status, plugin.why = "left out", "the bot's code brings one of its name"
        elif any(other.name == entry.name for other in plugins.every):
            plugin.status, plugin.why = "left out", NAME_TAKEN
        elif allowed is not None and entry.name not in allowed:
            plugin.status, plugin.why = "left out", "LINQBOT_PLUGINS does not name it"
        else:
            plugin.required = entry.name in required
        # The entry may be of the class of importlib_metadata, which other packages import: so its method, and not the entry.
        _add(plugins, plugin, entry.load, own=own)
    plugins.connect()
    return plugins


def name_of(given: object) -> str:
    """Return the name of a plugin of the bot's code: its `name`, or else the name of its module, class or function."""
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


def installed() -> list[EntryPoint]:
    """Return the installed plugins, sorted by name and then by distribution: of two with one name the first counts."""
    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.dist.name if entry.dist else ""))


def _refuse_missing(error: type[ConfigError], names: Collection[str], who: str, known: Collection[str]) -> None:
    for name in sorted(names):
        if name in known:
            continue
        near = nearest_name(name, known)
        # Not `linqbot check --only plugins`: that refuses the name too.
        there = f"These are: {', '.join(sorted(known))}." if known else "No plugin is installed."
        hint = f"Did you mean {near}?" if near else f"Install it, or take the name out. {there}"
        raise error(f"{who} the plugin {name}, which is not installed. {hint}")


def _add(
    plugins: Plugins, plugin: Plugin, load_target: Callable[[], object], *, own: Mapping[str, object] = _NO_PLUGINS
) -> None:
    """Load one plugin and register the hooks that it implements.

    Args:
        own: The plugins of the bot's code, by name. One of them replaces an installed plugin of the same class.
    Raises:
        ConfigError: the plugin is required, and cannot be loaded.
    """
    plugins.every.append(plugin)
    if not plugin.is_on:
        return
    try:
        target = load_target()
        if (twin := next((name for name, each in own.items() if target in (each, type(each))), None)) is not None:
            plugin.status, plugin.why = "left out", f"the bot's code brings it, as {twin}"
            return
        # Read before an instance is made: making it may fail, and a required plugin is required then too.
        plugin.required = plugin.required or getattr(target, "required", False) is True
        made = target() if isinstance(target, type) or inspect.isfunction(target) else target
        plugin.required = plugin.required or getattr(made, "required", False) is True
        impls = _implementations(made, plugin)
    except BaseException as error:
        # Not Exception: a module may also end with sys.exit().
        if is_ctrl_c(error):
            raise
        plugins.blame(plugin, "loading it", error)
        return
    plugins.register(plugin, impls)


def _identity(target: object) -> object:
    return target


def _implementations(target: object, plugin: Plugin) -> list[Impl]:
    """Return the hooks that an object implements.

    Raises:
        TypeError: the plugin's name, a hook's name or an implementation is not valid, or an implementation is not marked.
        PluginValidationError: an implementation takes an argument that its hook does not have.
    """
    if not _NAME.fullmatch(plugin.name):
        raise TypeError(f"{plugin.name!r} cannot be a plugin's name: use letters, digits, dots, dashes")
    manager = _manager()
    try:
        manager.register(target, plugin.name)
        found = [(caller, caller.get_hookimpls()) for caller in manager.get_hookcallers(target) or ()]
    finally:
        # One plugin at a time, so that pluggy mixes the hooks of no two plugins.
        if manager.is_registered(target):
            manager.unregister(target)
    impls = []
    for caller, implementations in found:
        if not caller.has_spec():
            near = nearest_name(caller.name, [name for name in vars(hookspecs) if name.islower()])
            raise TypeError(f"there is no hook {caller.name}" + (f"; did you mean {near}?" if near else ""))
        impls += [_implementation(plugin, caller.name, impl) for impl in implementations]
    if not impls:
        raise TypeError("it implements no hook; mark its functions with @hookimpl")
    if (unmarked := next(_unmarked(target, {impl.hook for impl in impls}), None)) is not None:
        raise TypeError(f"its function {unmarked} has the name of a hook, but is not marked with @hookimpl")
    return impls


@cache
def _manager() -> pluggy.PluginManager:
    """Return the manager that knows linqbot's hooks. To read them takes most of the time of loading a plugin."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def _unmarked(target: object, implemented: Collection[str]) -> Iterator[str]:
    """Yield the names of functions that look like implementations of a hook and are not marked, so nothing calls them."""
    for name, spec in vars(hookspecs).items():
        function = getattr(target, name, None) if hasattr(spec, f"{GROUP}_spec") and name not in implemented else None
        if not (inspect.isfunction(function) or inspect.ismethod(function)):
            continue
        if isinstance(target, ModuleType) and function.__module__ != target.__name__:
            continue  # imported from elsewhere
        # A function of its own purpose may be called `stopped`. It hardly takes what the hook takes, and nothing else.
        wanted, known = inspect.signature(function).parameters.keys(), inspect.signature(spec).parameters.keys()
        if name.startswith("register_") or (wanted and wanted <= known):
            yield name


def _implementation(plugin: Plugin, hook: str, found: pluggy.HookImpl) -> Impl:
    if found.wrapper or found.hookwrapper:
        raise TypeError(f"{hook} is a hook wrapper, and these are not supported")
    if inspect.iscoroutinefunction(found.function) and hook not in LIFECYCLE:
        raise TypeError(f"{hook} is async, and must be a plain def")
    wanted = inspect.signature(found.function).parameters
    known = tuple(inspect.signature(getattr(hookspecs, hook)).parameters)
    if (rest := next((each for each in wanted.values() if each.kind in _COLLECTS_REST), None)) is not None:
        raise TypeError(
            f"{hook} gets nothing in {rest}; name the arguments that it needs, of: {', '.join(known) or 'none'}"
        )
    # Compiled once from names of `hookspecs`, because to pick the arguments at every call costs more than the call itself.
    source = f"lambda {', '.join(known)}: function({', '.join(f'{name}={name}' for name in known if name in wanted)})"
    code = compile(source, COMPILED, "eval")
    call = eval(code, {"function": found.function, "__name__": __name__})  # noqa: S307
    return Impl(plugin, hook, call, rank=0 if found.tryfirst else 2 if found.trylast else 1)
