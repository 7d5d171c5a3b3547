from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import structlog
from fakes import delivery, text_body
from plugin_packages import install_plugin

from linqbot import hookimpl
from linqbot.errors import ConfigError
from linqbot.plugin_loading import load
from linqbot.plugins import registry
from linqbot.plugins.registry import CALLS_PER_PERIOD, MAX_CARRIER_BYTES, MIN_SLOW_CALLS, Plugins
from linqbot.turn_events import DeliveryReceived, End, Observers, TurnEnded, TurnReport, TurnTaken


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.endswith("_plugin"):
            del sys.modules[name]


class Counts:
    """Counts finished turns in its own attribute."""

    name = "counts"

    def __init__(self) -> None:
        self.ends: list[str] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return {TurnEnded: self.turn_ended}

    def turn_ended(self, turn: TurnEnded) -> None:
        self.ends.append(turn.outcome)


HOOK = "from linqbot import hookimpl\n@hookimpl\ndef stopped(): ...\n"

OBSERVERS = """
from linqbot import hookimpl
from linqbot.turn_events import QuestionAsked, TurnTaken

async def later(event): ...

@hookimpl
def register_observers(): return """

COUNTS = """
from linqbot import hookimpl

class Plugin:
    @hookimpl
    def started(self): ...
"""


def finish(plugins: Plugins, outcome: End = "ack") -> None:
    if (notify := plugins.observers.get(TurnEnded)) is not None:
        notify(TurnEnded(delivery(text_body()), 0, 0, 0, outcome, None, None, None, None, None, 0.1))


def statuses(plugins: Plugins) -> dict[str, str]:
    return {plugin.name: plugin.status for plugin in plugins.every}


def why(plugins: Plugins, name: str) -> str:
    return next(str(plugin.why) for plugin in plugins.every if plugin.name == name)


# Found and loaded


def test_an_installed_plugin_is_found_with_its_distribution(site: Path) -> None:
    install_plugin(site, "counts", COUNTS, entry="Plugin", version="1.2")
    plugins = load(discover=True)
    (plugin,) = [plugin for plugin in plugins.every if plugin.name == "counts"]
    assert (plugin.distribution, plugin.version, plugin.hooks) == ("linqbot-counts", "1.2", ("started",))
    assert plugins.report()["counts"] == "active"


def test_installed_plugins_are_loaded_only_where_they_are_asked_for(site: Path) -> None:
    install_plugin(site, "counts", COUNTS, entry="Plugin")
    install_plugin(site, "other", COUNTS, entry="Plugin")
    assert load().every == []
    assert statuses(load(["counts"])) == {"counts": "active"}
    assert load(required=["other"]).every[0].required


def test_an_allow_list_leaves_others_out_without_importing_them(site: Path) -> None:
    install_plugin(site, "counts", COUNTS, entry="Plugin")
    install_plugin(site, "fatal", "raise SystemExit('imported')")
    allowed = statuses(load(discover=True, allowed=["counts"]))
    assert (allowed["counts"], allowed["fatal"]) == ("active", "left out")
    assert "fatal_plugin" not in sys.modules


def test_what_the_bot_brings_needs_no_permission_and_wins_if_names_are_equal(site: Path) -> None:
    install_plugin(site, "counts", COUNTS, entry="Plugin")
    plugins = load([Counts()], discover=True, allowed=[])
    mine, installed = [plugin for plugin in plugins.every if plugin.name == "counts"]
    assert (mine.status, mine.distribution) == ("active", None)
    assert (installed.status, installed.why) == ("left out", "the bot's code brings one of its name")


def test_each_app_has_its_own_instance_of_what_a_class_or_a_function_makes() -> None:
    made: list[Counts] = []

    class Mine(Counts):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    def counting() -> Counts:
        return Mine()

    for maker, name in ((Mine, "counts"), (counting, "counting")):
        made.clear()
        first, second = load([maker]), load([maker])
        finish(first)
        finish(second, "dead_letter")
        assert [each.ends for each in made] == [["ack"], ["dead_letter"]], name
        assert second.report() == {name: "active"}


REFUSED: list[tuple[list[object], dict[str, Any], str]] = [
    (["gone"], {}, r"The bot names the plugin gone, which is not installed\. .*counts"),
    (["count"], {}, "Did you mean counts"),
    ([], {"allowed": ["count"]}, r"LINQBOT_PLUGINS names the plugin count, which is not installed\. .*counts\?"),
    (
        ["counts"],
        {"allowed": ["bad"]},
        (
            r"The bot names the plugin counts, but LINQBOT_PLUGINS does not\. Add it there, or take it out of the bot "
            r"and of LINQBOT_REQUIRED_PLUGINS\.$"
        ),
    ),
    ([], {"required": ["gone"]}, "LINQBOT_REQUIRED_PLUGINS names the plugin gone, which is not installed"),
    ([], {"required": ["bad"]}, "bad is required, and failed: .*does_not_exist.* does not start"),
    (
        [],
        {"required": ["bad"], "allowed": []},
        (
            r"LINQBOT_REQUIRED_PLUGINS names the plugin bad, but LINQBOT_PLUGINS does not\. Add it there, or take it out "
            r"of the bot and of LINQBOT_REQUIRED_PLUGINS\.$"
        ),
    ),
    ([Counts, Counts], {}, "Two plugins"),
    ([lambda: 1], {}, "cannot be a plugin's"),
]


def test_plugins_that_cannot_be_as_wanted_keep_the_bot_from_starting(site: Path, subtests: pytest.Subtests) -> None:
    install_plugin(site, "counts", COUNTS, entry="Plugin")
    install_plugin(site, "bad", "import does_not_exist")
    for given, settings, says in REFUSED:
        with subtests.test(says=says), pytest.raises(ConfigError, match=says):
            load(given, discover=True, **settings)


def test_an_allow_list_may_name_a_plugin_that_the_bot_brings(site: Path) -> None:
    install_plugin(site, "counts", COUNTS, entry="Plugin")
    own = type("Own", (Counts,), {"name": "own"})
    assert statuses(load([own], discover=True, allowed=["counts", "own"]))["own"] == "active"


# Faults while loading


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import does_not_exist", "ModuleNotFoundError at bad_plugin.py:1: No module named 'does_not_exist'"),
        ("raise SystemExit(3)", "SystemExit at bad_plugin.py:1"),
        ("x = 1", "it implements no hook"),
        ("from linqbot import hookimpl\n@hookimpl\ndef startd(): ...", "no hook startd; did you mean started"),
        ("from linqbot import hookimpl\n@hookimpl\ndef started(wrong): ...", "wrong"),
        (
            "from linqbot import hookimpl\n@hookimpl\nasync def register_routes(): ...",
            "is async, and must be a plain def",
        ),
        ("from linqbot import hookimpl\n@hookimpl(wrapper=True)\ndef started(): yield", "hook wrapper"),
        (
            "from linqbot import hookimpl\n@hookimpl\ndef register_tools(dev, **facts): ...",
            "register_tools gets nothing in **facts; name the arguments that it needs, of: dev, ",
        ),
        (
            OBSERVERS + "{TurnTaken: len, int: len}",
            "register_observers raised TypeError: 'int' is no class of linqbot.turn_events",
        ),
        (OBSERVERS + "[len]", "register_observers raised TypeError: it returned a list, and must return a dict"),
        (OBSERVERS + "{TurnTaken: 1}", "its observer of TurnTaken is a int, which cannot be called"),
        (OBSERVERS + "{TurnTaken: later}", "its observer of TurnTaken is async, and must be a plain def"),
        (OBSERVERS + "{QuestionAsked: len}", "QuestionAsked quotes people, so an installed plugin cannot observe it"),
        (HOOK + "def register_outbound(): ...", "register_outbound has the name of a hook, but is not marked"),
        (HOOK + "def started(running): ...", "started has the name of a hook, but is not marked"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_named_and_the_others_stay(site: Path, code: str, says: str) -> None:
    install_plugin(site, "bad", code)
    counts = Counts()
    with structlog.testing.capture_logs() as logs:
        plugins = load([counts], discover=True)
    finish(plugins)
    assert counts.ends == ["ack"]
    assert statuses(plugins)["bad"] == "disabled"
    assert says in why(plugins, "bad")
    assert says in plugins.report()["bad"]
    assert [line["plugin"] for line in logs if line["event"] == "plugin.disabled"] == ["bad"]


def test_a_function_of_its_own_purpose_may_be_called_like_a_hook(site: Path) -> None:
    install_plugin(site, "fine", HOOK + "def started(task): ...\ndef register(): ...")
    assert statuses(load(discover=True))["fine"] == "active"


def test_a_plugin_may_declare_itself_required_even_if_it_cannot_be_made() -> None:
    class Approval:
        required = True

        def __init__(self) -> None:
            raise OSError("no database at postgres://me:secret@db")

    with pytest.raises(ConfigError, match="Approval is required, and failed: loading it raised OSError") as raised:
        load([Approval])
    assert "secret" not in str(raised.value)
    assert load([Approval], lenient=True).every[0].status == "disabled"


# Order


def test_order_is_first_then_by_name_then_last() -> None:
    said: list[str] = []

    def plugin(name: str, **how: Any) -> object:
        def register_observers() -> Observers:
            return {TurnEnded: lambda _: said.append(name)}

        made = type(name, (), {"name": name})()
        made.register_observers = hookimpl(**how)(register_observers)
        return made

    plugins = load([plugin("d", trylast=True), plugin("c"), plugin("e", tryfirst=True), plugin("a"), plugin("b")])
    finish(plugins)
    assert said == ["e", "a", "b", "c", "d"]
    assert [each.name for each in plugins.every] == ["a", "b", "c", "d", "e"]


# Observing


def test_without_observers_there_is_nothing_to_call() -> None:
    assert Plugins().observers == {}
    assert load([Counts]).observers.keys() == {TurnEnded}


class Loud:
    name = "loud"

    @hookimpl
    def register_observers(self) -> Observers:
        return {TurnEnded: self.turn_ended}

    def turn_ended(self, turn: TurnEnded) -> None:
        raise ValueError(f"they wrote {turn.delivery}")


def test_an_observer_that_raises_is_disabled_once_and_its_message_is_not_logged() -> None:
    counts = Counts()
    plugins = load([Loud, counts])
    with structlog.testing.capture_logs() as logs:
        finish(plugins)
        finish(plugins)
    assert counts.ends == ["ack", "ack"]
    (line,) = logs
    assert (line["event"], line["plugin"]) == ("plugin.disabled", "loud")
    assert "its observer of TurnEnded raised ValueError at test_plugins.py:" in line["why"]
    assert "wrote" not in str(logs) + str(plugins.report())


def test_when_the_last_observer_is_disabled_there_is_nothing_to_call() -> None:
    plugins = load([Loud])
    finish(plugins)
    assert plugins.observers == {}


def test_a_required_observer_that_raises_loses_only_that_observer() -> None:
    class Approval(Loud):
        required = True
        name = "approval"

        @hookimpl
        def register_outbound(self) -> list[Any]:
            return []

    plugins = load([Approval])
    finish(plugins)
    (plugin,) = plugins.every
    assert plugins.report()["approval"].startswith(
        "active: its observer of TurnEnded raised ValueError at test_plugins.py:"
    )
    assert plugin.is_on
    assert len(plugins.ask("register_outbound", list)) == 1
    assert plugins.observers == {}


def test_a_required_plugin_is_failing_because_of_what_still_fails_and_each_reason_is_logged_once() -> None:
    class Approval(Counts):
        required = True
        name = "approval"

    plugins = load([Approval])
    (plugin,) = plugins.every
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            plugins.note_failure(plugin, "outbound middleware", ValueError())
            plugins.note_failure(plugin, "middleware", ValueError())
        plugins.note_success(plugin, "middleware")
        assert plugins.report()["approval"].startswith("failing: outbound middleware raised ValueError")
        plugins.note_success(plugin, "outbound middleware")
        plugins.note_success(plugin, "outbound middleware")
    assert plugins.report()["approval"] == "active"
    assert [line["event"] for line in logs] == ["plugin.failing", "plugin.failing", "plugin.recovered"]


@pytest.mark.parametrize(
    ("takes", "status"),
    [
        ([0.06] * (MIN_SLOW_CALLS - 1), "active"),
        ([0.06] * MIN_SLOW_CALLS, "disabled: its observer of TurnEnded took over 50 ms in 5 of 5 calls"),
        (([0.0] * 9 + [0.06]) * (CALLS_PER_PERIOD // 10) * 3, "active"),
    ],
)
def test_an_observer_that_is_slow_repeatedly_is_disabled_and_one_that_is_slow_sometimes_stays(
    takes: list[float], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, left = 0.0, iter(takes)

    class Slow:
        name = "slow"

        @hookimpl
        def register_observers(self) -> Observers:
            return {TurnEnded: self.turn_ended}

        def turn_ended(self, _: TurnEnded) -> None:
            nonlocal now
            now += next(left)

    monkeypatch.setattr(registry, "perf_counter", lambda: now)
    plugins = load([Slow])
    for _ in takes:
        finish(plugins)
    assert plugins.report()["slow"].partition(";")[0] == status


# The carrier


def carrying(name: str, given: dict[Any, Any]) -> Any:
    class Carries:
        def __init__(self) -> None:
            self.name = name
            self.got: list[Mapping[str, str]] = []

        @hookimpl
        def register_observers(self) -> Observers:
            return {DeliveryReceived: self.received, TurnTaken: self.taken}

        def received(self, event: DeliveryReceived) -> None:
            event.carrier.update(given)

        def taken(self, event: TurnTaken) -> None:
            self.got.append(event.carrier)

    return Carries()


def test_each_plugin_gets_back_its_own_carrier() -> None:
    one, two, three = carrying("one", {"trace": "é"}), carrying("two", {"trace": "2"}), carrying("three", {})
    plugins = load([one, two, three])
    came = plugins.notify_received(delivery(text_body()), {})
    assert isinstance(came.carrier, str)
    plugins.notify_taken(TurnReport(came, 0.0, 0, 0, 0))
    assert (one.got, two.got, three.got) == ([{"trace": "é"}], [{"trace": "2"}], [{}])


def test_a_delivery_with_empty_carriers_stores_nothing_more() -> None:
    came = delivery(text_body())
    assert load([carrying("one", {})]).notify_received(came, {}) is came


@pytest.mark.parametrize("carrier", [{"big": "x" * MAX_CARRIER_BYTES}, {"number": 1}, {1: "text"}])
def test_a_carrier_that_cannot_be_stored_is_the_fault_of_its_plugin_alone(carrier: dict[Any, Any]) -> None:
    bad, good = carrying("bad", carrier), carrying("good", {"trace": "1"})
    plugins = load([bad, good])
    came = plugins.notify_received(delivery(text_body()), {})
    assert came.carrier == '{"good": {"trace": "1"}}'
    assert statuses(plugins) == {"bad": "disabled", "good": "active"}


def test_a_plugin_that_came_later_finds_an_empty_carrier() -> None:
    came = load([carrying("one", {"a": "b"})]).notify_received(delivery(text_body()), {})
    late = carrying("late", {})
    load([late]).notify_taken(TurnReport(came, 0.0, 0, 0, 0))
    assert late.got == [{}]


@pytest.mark.parametrize("brings", [lambda kind: kind, lambda kind: kind()])
def test_a_plugin_of_the_bots_code_replaces_the_installed_one_of_its_class(site: Path, brings: Any) -> None:
    install_plugin(site, "counts", COUNTS, entry="Plugin")
    (kind,) = [entry.load() for entry in entry_points(group="linqbot") if entry.name == "counts"]
    plugins = load([brings(kind)], discover=True)
    assert statuses(plugins) == {"Plugin": "active", "counts": "left out"} | {
        plugin.name: plugin.status for plugin in plugins.every if plugin.name not in ("Plugin", "counts")
    }
    assert why(plugins, "counts") == "the bot's code brings it, as Plugin"
