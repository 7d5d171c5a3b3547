"""Each class of events has an observer and a place where it happens, and one turn has all of them in order, with its facts."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, TypeVar

import pytest
from answers import answers
from one_handler import bot_of

from linqbot import Bot, Context, LinqApiError, MessageReceived, hookimpl, turn_events
from linqbot.content.sending import ContentSent
from linqbot.testing import HandlerFailed, talking
from linqbot.turn_events import (
    CallMade,
    DeliveryReceived,
    DeliveryStored,
    Observers,
    QuotingEvent,
    Routed,
    StepEnded,
    TurnEnded,
    TurnEvent,
    TurnTaken,
)

E = TypeVar("E", bound=TurnEvent)

CLASSES = [
    each
    for each in (*vars(turn_events).values(), ContentSent)
    if inspect.isclass(each) and issubclass(each, TurnEvent) and each not in (TurnEvent, QuotingEvent)
]
ROOT = Path(__file__).parents[1]


def made(*folders: Path) -> set[str]:
    """Return the names that the code below some folders calls."""
    nodes = (node for each in folders for file in each.rglob("*.py") for node in ast.walk(ast.parse(file.read_text())))
    return {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def observed(*folders: Path) -> set[str]:
    """Return the names that are keys of what `register_observers` returns, below some folders."""
    nodes = (node for each in folders for file in each.rglob("*.py") for node in ast.walk(ast.parse(file.read_text())))
    hooks = (node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == "register_observers")
    dicts = (node for hook in hooks for node in ast.walk(hook) if isinstance(node, ast.Dict))
    return {key.id for each in dicts for key in each.keys if isinstance(key, ast.Name)}


def test_every_event_is_explained_happens_somewhere_and_is_observed_by_our_plugins(subtests: pytest.Subtests) -> None:
    happens, has_observer = made(ROOT / "linqbot"), observed(*(ROOT / "plugins").glob("linqbot-*/linqbot_*"))
    for event in CLASSES:
        with subtests.test(name=event.__name__):
            assert (event.__doc__ or "").strip().endswith(".")
            assert event.__name__ in happens
            assert event.__name__ in has_observer


class Every:
    """Observes every event and keeps it."""

    name = "every"

    def __init__(self) -> None:
        self.events: list[TurnEvent] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return dict.fromkeys(CLASSES, self.events.append)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def turns(self, event_type: str = "message.received") -> list[TurnEnded]:
        return [turn for turn in self.of(TurnEnded) if turn.delivery.type == event_type]


def hi(**how: Any) -> Bot:
    bot = Bot(read=False, typing=False, **how)

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        if message.text == "fail":
            raise ValueError(message.text)
        name = await ctx.once("name", lambda _: message.text, kind=str)
        await ctx.reply(f"hi {name}")

    return bot


def of_message(event: TurnEvent) -> bool:
    """Return False for the beginnings and ends of turns of other deliveries than messages."""
    if isinstance(event, TurnTaken):
        return event.report.delivery.type == "message.received"
    return not isinstance(event, TurnEnded) or event.delivery.type == "message.received"


async def test_one_turn_has_its_events_in_order_with_its_facts() -> None:
    every = Every()
    async with talking(hi(plugins=[every])) as phone:
        assert await answers(phone, "Ann") == ["hi Ann"]
    kinds = [type(event) for event in every.events if of_message(event)]
    begin = kinds.index(CallMade) - 3
    assert kinds[begin:][:6] == [TurnTaken, Routed, StepEnded, CallMade, ContentSent, TurnEnded]
    (sent,) = every.of(CallMade)
    assert sent.answer is not None
    assert (sent.call.name, sent.answer.status, sent.error) == ("chats.messages.send", 202, None)
    assert sent.from_journal is False
    (turn,) = every.turns()
    assert turn.handler is not None
    assert turn.handler.endswith("answer")
    assert isinstance(turn.event, MessageReceived)
    assert turn.event.text == "Ann"
    assert turn.handler_s is not None
    assert 0 <= turn.handler_s <= turn.took_s
    assert (turn.outcome, turn.error, turn.again_in_s, turn.reason) == ("ack", None, None, None)
    assert turn.row is not None
    assert (turn.row.delivery, turn.row.outcome, turn.row.handler) == (turn.delivery.id, "handled", turn.handler)
    (call,) = turn.calls
    assert (call.call, call.answer, call.error) == (sent.call, sent.answer, None)
    assert turn.steps == every.of(StepEnded)
    assert {each.outcome for each in every.of(TurnEnded)} == {"ack"}
    routed = next(each for each in every.of(Routed) if each.event.type == "message.received")
    assert (routed.handler, routed.reason, routed.tried) == (turn.handler, None, ())
    assert str(routed.at).startswith("test_turn_events.py:")
    assert all(each.is_new for each in every.of(DeliveryStored))
    assert "webhook-signature" in every.of(DeliveryReceived)[0].headers


async def test_messages_that_are_joined_have_one_turn() -> None:
    every = Every()
    async with talking(hi(plugins=[every], gather_s=2)) as phone:
        await phone.text("Ann")
        await phone.text("and Bob")
        assert await phone.next_reply() == "hi Ann\nand Bob"

    def ids(*deliveries: Any) -> list[str]:
        return [each.id for each in deliveries if each.type == "message.received"]

    received = ids(*(each.delivery for each in every.of(DeliveryReceived)))
    assert received == ids(*(each.delivery for each in every.of(DeliveryStored)))
    assert received[:1] == ids(*(each.report.delivery for each in every.of(TurnTaken)))
    assert received[:1] == ids(*(each.delivery for each in every.of(TurnEnded)))
    assert len(received) == 2
    (turn,) = every.turns()
    assert turn.delivery.joined is not None
    assert len(turn.delivery.joined.burst) == 1


async def test_each_turn_that_is_taken_ends_once_also_when_it_fails() -> None:
    every = Every()
    async with talking(hi(plugins=[every])) as phone:
        await phone.text("fail")
        with pytest.raises(HandlerFailed):
            await phone.advance(3600)
    turns = every.turns()
    assert [(turn.attempts, turn.outcome) for turn in turns] == [
        (0, "retry"), (1, "retry"), (2, "retry"), (3, "retry"), (4, "dead_letter"),
    ]  # fmt: skip
    assert {(type(turn.error), turn.handler_s) for turn in turns} == {(ValueError, None)}
    assert [turn.again_in_s is not None for turn in turns] == [True] * 4 + [False]
    assert "ValueError at test_turn_events.py:" in str(turns[0].reason)
    assert turns[4].reason == turns[0].reason
    pairs = [event for event in every.events if isinstance(event, TurnTaken | TurnEnded)]
    for taken, ended in zip(pairs[::2], pairs[1::2], strict=True):
        assert isinstance(taken, TurnTaken)
        assert isinstance(ended, TurnEnded)
        assert ended.delivery is taken.report.delivery
        assert ended.calls is taken.report.calls


async def test_a_call_that_linq_refuses_is_observed_with_its_error() -> None:
    every = Every()

    async def ask(message: MessageReceived, ctx: Context) -> None:
        with pytest.raises(LinqApiError):
            await ctx.client.chats.retrieve("00000000-0000-4000-8000-000000000000")
        with pytest.raises(LinqApiError):
            await ctx.client.chats.update("00000000-0000-4000-8000-000000000000", display_name="Us")

    async with talking(bot_of(ask, plugins=[every])) as phone:
        await phone.text("hi")
    failed = [event for event in every.of(CallMade) if event.error is not None]
    assert [(one.call.name, getattr(one.error, "status", None), one.answer) for one in failed] == [
        ("chats.retrieve", 404, None),
        ("chats.update", 404, None),
    ]
    (call,) = every.turns()[-1].calls
    assert (call.call.name, call.answer, call.error) == ("chats.update", None, failed[1].error), "no reads"
