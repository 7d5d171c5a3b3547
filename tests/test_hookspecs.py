"""Each hook is documented and has a user, and one turn calls each observing hook with all its arguments."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import answers
from one_handler import bot_of

from linqbot import Bot, Context, LinqApiError, MessageReceived, hookspecs
from linqbot.hook_markers import GROUP
from linqbot.hookspecs import TurnReport, hookimpl
from linqbot.plugins.registry import LIFECYCLE, OBSERVED
from linqbot.testing import HandlerFailed, talking

HOOKS: dict[str, Callable[..., Any]] = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, f"{GROUP}_spec")
}


def test_every_hook_is_explained(subtests: pytest.Subtests) -> None:
    for name in HOOKS:
        with subtests.test(name=name):
            assert (HOOKS[name].__doc__ or "").strip().endswith((".", "`"))


def test_every_observing_hook_is_called_somewhere() -> None:
    differing = {name for name in HOOKS if not name.startswith("register_")} ^ {*OBSERVED, *LIFECYCLE}
    assert not differing, "Make these attributes of Plugins in plugins/registry.py."
    package = Path(hookspecs.__file__).parent
    code = "".join(file.read_text() for file in package.rglob("*.py") if file.parent.name != "plugins")
    uncalled = {name for name in OBSERVED if not re.search(rf"plugins\.(notify_)?{name}\b", code)}
    assert not uncalled, "Call these where they happen."


def implemented(source: str) -> set[str]:
    """Return the names of the functions that are marked with `hookimpl`."""
    return {
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for mark in node.decorator_list
        if ast.unparse(mark).partition("(")[0].rpartition(".")[2] == "hookimpl"
    }


def test_every_hook_has_a_user_among_our_plugins() -> None:
    files = (Path(__file__).parents[1] / "plugins").glob("linqbot-*/linqbot_*/**/*.py")
    used = set[str]().union(*(implemented(file.read_text()) for file in files))
    assert HOOKS.keys() <= used, "Give these hooks a plugin that needs them, or remove them."


class Every:
    """Implements every observing hook and records the calls."""

    name = "every"

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        for hook in (*OBSERVED, *LIFECYCLE):
            setattr(self, hook, hookimpl(self._keeps(hook)))

    def _keeps(self, hook: str) -> Callable[..., None]:
        def keep(**facts: Any) -> None:
            self.calls.append((hook, facts))

        keep.__signature__ = inspect.signature(HOOKS[hook])  # type: ignore[attr-defined]
        return keep

    def of(self, hook: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.calls if name == hook]

    def turns(self, event_type: str = "message.received") -> list[TurnReport]:
        reports: list[TurnReport] = [facts["report"] for facts in self.of("turn_ended")]
        return [report for report in reports if report.delivery.type == event_type]


def hi(**how: Any) -> Bot:
    bot = Bot(read=False, typing=False, **how)

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        if message.text == "fail":
            raise ValueError(message.text)
        name = await ctx.once("name", lambda _: message.text, kind=str)
        await ctx.reply(f"hi {name}")

    return bot


async def test_one_turn_calls_every_observing_hook_in_order_with_the_facts_of_the_turn() -> None:
    every = Every()
    async with talking(hi(plugins=[every])) as phone:
        assert await answers(phone, "Ann") == ["hi Ann"]
    of_message = [
        name
        for name, facts in every.calls
        if "report" not in facts or facts["report"].delivery.type == "message.received"
    ]
    assert of_message[0] == "started"
    assert of_message[-1] == "stopped"
    assert of_message[of_message.index("sent") - 3 :][:5] == ["taken", "routed", "stepped", "sent", "turn_ended"]
    for name, facts in every.calls:
        assert facts.keys() == inspect.signature(HOOKS[name]).parameters.keys(), name
    (sent,) = every.of("sent")
    assert (sent["call"].name, sent["answer"].status, sent["error"]) == ("chats.messages.send", 202, None)
    assert sent["from_journal"] is False
    (report,) = every.turns()
    assert report.handler is not None
    assert report.handler.endswith("answer")
    assert isinstance(report.event, MessageReceived)
    assert report.event.text == "Ann"
    assert report.handler_s is not None
    assert 0 <= report.handler_s <= report.took_s
    assert (report.outcome, report.error, report.again_in_s, report.reason) == ("ack", None, None, None)
    (call,) = report.calls
    assert (call.call, call.answer, call.error) == (sent["call"], sent["answer"], None)
    assert {facts["report"].outcome for facts in every.of("turn_ended")} == {"ack"}
    routed = next(facts for facts in every.of("routed") if facts["event"].type == "message.received")
    assert (routed["handler"], routed["reason"], routed["tried"]) == (report.handler, None, ())
    assert routed["at"].startswith("test_hookspecs.py:")
    assert all(facts["is_new"] for facts in every.of("stored"))
    assert "webhook-signature" in every.of("received")[0]["headers"]


async def test_messages_that_are_joined_have_one_turn() -> None:
    every = Every()
    async with talking(hi(plugins=[every], gather_s=2)) as phone:
        await phone.text("Ann")
        await phone.text("and Bob")
        assert await phone.next_reply() == "hi Ann\nand Bob"

    def ids(hook: str) -> list[str]:
        deliveries = [facts["report"].delivery if "report" in facts else facts["delivery"] for facts in every.of(hook)]
        return [each.id for each in deliveries if each.type == "message.received"]

    assert ids("received") == ids("stored")
    assert ids("received")[:1] == ids("taken") == ids("turn_ended")
    assert len(ids("received")) == 2
    (report,) = every.turns()
    assert report.delivery.joined is not None
    assert len(report.delivery.joined.burst) == 1


async def test_each_taken_is_followed_by_one_turn_ended_with_the_same_report_also_when_it_fails() -> None:
    every = Every()
    async with talking(hi(plugins=[every])) as phone:
        await phone.text("fail")
        with pytest.raises(HandlerFailed):
            await phone.advance(3600)
    turns = every.turns()
    assert [(report.attempts, report.outcome) for report in turns] == [
        (0, "retry"), (1, "retry"), (2, "retry"), (3, "retry"), (4, "dead_letter"),
    ]  # fmt: skip
    assert {(type(report.error), report.handler_s) for report in turns} == {(ValueError, None)}
    assert [report.again_in_s is not None for report in turns] == [True] * 4 + [False]
    assert "ValueError at test_hookspecs.py:" in str(turns[0].reason)
    assert turns[4].reason == turns[0].reason
    pairs = [(name, id(facts["report"])) for name, facts in every.calls if name in ("taken", "turn_ended")]
    taken, ended = pairs[::2], pairs[1::2]
    assert [("turn_ended", of) for _, of in taken] == ended


async def test_a_call_that_linq_refuses_is_observed_with_its_error() -> None:
    every = Every()

    async def ask(message: MessageReceived, ctx: Context) -> None:
        with pytest.raises(LinqApiError):
            await ctx.client.chats.retrieve("00000000-0000-4000-8000-000000000000")
        with pytest.raises(LinqApiError):
            await ctx.client.chats.update("00000000-0000-4000-8000-000000000000", display_name="Us")

    async with talking(bot_of(ask, plugins=[every])) as phone:
        await phone.text("hi")
    failed = [facts for facts in every.of("sent") if facts["error"] is not None]
    assert [(one["call"].name, one["error"].status, one["answer"]) for one in failed] == [
        ("chats.retrieve", 404, None),
        ("chats.update", 404, None),
    ]
    (call,) = every.turns()[-1].calls
    assert (call.call.name, call.answer, call.error) == ("chats.update", None, failed[1]["error"]), "no reads"
