"""Copied tests are run: what people and a bot did with each other happens again on the phone of the test.

The bots run in this process and report their turns as in `linqbot dev`. That the page copies what the emulator answers
is tested in `page/test_page_copies.py` and `page/test_page_saving.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from app_with_emulator import RunningApp, run_app
from linqbot_dev.dev.reporting import TurnReports
from linqbot_dev.emulator.acts import chat_acts, conversation
from linqbot_dev.emulator.copied_test.steps import Copier
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.answers import ApiError
from patience import until

from emulator.conftest import PERSON, Receiver, arrives
from linqbot.ops.bot_file import load_bot
from linqbot.plugin_loading import load

LINE, ANN, BOB, CAT = "+12025550100", "+14155550142", "+14155550187", "cat@example.com"
EXAMPLES = Path(__file__).parents[4] / "examples"
BOT = """
from collections import Counter

from linqbot import Bot, Context, MessageReceived, ReactionAdded
from linqbot.events import ContactCardReceived, Event, GroupNameUpdated, LocationSharingStarted, LocationSharingStopped
from linqbot.events import ParticipantAdded, ParticipantRemoved, PaymentDeclined, PaymentSucceeded, PollReactionAdded
from linqbot.events import PollReceived, PollUpdated, PollVoteAdded, PollVoteRemoved
from linqbot.linq.events.payment import PaymentEvent

bot = Bot(groups="all")
latest = {}
runs = Counter()


async def say(ctx: Context, chat_id: str, text: str) -> None:
    await ctx.client.chats.messages.send(chat_id, message={"parts": [{"type": "text", "value": text}]})


@bot.on_message("lunch")
async def lunch(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Where?")
    await ctx.client.chats.polls.create(message.chat.id, poll={"options": [{"text": "Pizza"}, {"text": "Sushi"}]})


@bot.on_message("add")
async def add(message: MessageReceived, ctx: Context) -> None:
    option = {"text": "Noodles"}
    await ctx.client.messages.poll.add_options(message.reply_to.message_id, options=[option])
    await ctx.reply("Added.")


@bot.on_message("where")
async def where(message: MessageReceived, ctx: Context) -> None:
    found = await ctx.client.chats.location.retrieve(message.chat.id)
    await ctx.reply(", ".join(str(one.geometry.coordinates) for one in found.data.features) or "I do not know.")


@bot.on_message("bill")
async def bill(message: MessageReceived, ctx: Context) -> None:
    request = await ctx.client.payment_requests.create(amount=1500, currency="usd", metadata={"chat": message.chat.id})
    await ctx.reply(f"Pay here: {request.checkout_url}", cards=False)


@bot.on_message("name us")
async def name_us(message: MessageReceived, ctx: Context) -> None:
    await ctx.chat.rename("Us")
    await ctx.reply("Named.")


@bot.on_message("fails")
async def fails(message: MessageReceived, ctx: Context) -> None:
    1 / 0


@bot.on_message("fails twice")
async def fails_twice(message: MessageReceived, ctx: Context) -> None:
    runs[message.id] += 1
    if runs[message.id] < 3:
        1 / 0
    await ctx.reply("at last")


@bot.on_message
async def hello(message: MessageReceived, ctx: Context) -> None:
    latest["chat"] = message.chat.id
    await ctx.reply("hello")


@bot.on(PollReceived)
async def poll(event: PollReceived, ctx: Context) -> None:
    await ctx.reply("A poll: " + ", ".join(option.text for option in event.poll.options))


@bot.on(PollUpdated)
@bot.on(PollVoteAdded)
@bot.on(PollVoteRemoved)
@bot.on(PollReactionAdded)
@bot.on(GroupNameUpdated)
@bot.on(LocationSharingStopped)
async def seen(event: Event, ctx: Context) -> None:
    await say(ctx, event.chat_id, event.type)


@bot.on(ParticipantAdded)
@bot.on(ParticipantRemoved)
async def members(event: Event, ctx: Context) -> None:
    await say(ctx, event.chat_id, f"{event.type} {event.participant.handle}")


@bot.on(ContactCardReceived)
async def card(event: ContactCardReceived, ctx: Context) -> None:
    await say(ctx, latest["chat"], f"Hello {event.first_name} {event.last_name}")


@bot.on_reaction("sticker")
async def sticker(event: ReactionAdded, ctx: Context) -> None:
    await ctx.client.messages.add_reaction(event.message_id, operation="add", type="sticker", emoji="🚀")
    await ctx.reply("A sticker!")


@bot.on(LocationSharingStarted)
async def located(event: LocationSharingStarted, ctx: Context) -> None:
    found = await ctx.client.chats.location.retrieve(event.chat_id)
    await ctx.reply(f"You are at {found.data.features[0].geometry.coordinates}.")


@bot.on(PaymentSucceeded)
@bot.on(PaymentDeclined)
async def paid(event: PaymentEvent, ctx: Context) -> None:
    await say(ctx, event.metadata["chat"], event.type)
"""


class Talk:
    """A conversation with a bot, whose exchanges are copied."""

    def __init__(self, app: RunningApp) -> None:
        self._emulator, self._app = app.emulator, app
        self.tests: list[str] = []

    async def does(self, act: Any, copied: str) -> dict[str, Any]:
        """Act, and copy the event of this type as a test once the bot has answered. Return the bot's last message."""
        await self._copies(lambda: self._emulator.do(act), copied, self._app.quiet)
        return self.last(of_bot=True)

    async def waits(self, seconds: float, copied: str) -> None:
        """Let time pass, and copy what it brings as a test."""
        await self._copies(lambda: self._emulator.advance(seconds), copied, self._app.quiet)

    def corrected_before_the_last_turn(self) -> None:
        """Report that the bot's file was loaded before the last turn began, and once more now."""
        began = self._emulator.observations[-1]["started_at"]
        self._emulator.observe({"kind": "bot", "status": "loaded", "at": began})
        self._emulator.observe({"kind": "bot", "status": "loaded"})

    def moves(self, act: Any) -> None:
        """Act in a way that no event reports."""
        self._emulator.do(act)

    async def writes(self, text: str, **more: Any) -> dict[str, Any]:
        return await self.does(self._writing(text, **more), "message.received")

    async def fails(self, text: str) -> None:
        """Write, and copy the message as a test once its handler has failed."""
        writing = self._writing(text)
        await self._copies(lambda: self._emulator.do(writing), "message.received", self._retried)

    def _writing(self, text: str, **more: Any) -> conversation.Write:
        part = {"type": "text", "value": text, **more.pop("part", {})}
        return conversation.Write(**{"from": ANN, "to": LINE, "parts": [part], **more})

    async def _copies(
        self, happens: Callable[[], object], copied: str, answered: Callable[[], Awaitable[None]]
    ) -> None:
        deliveries = self._emulator.world.deliveries
        before = len(deliveries.history)
        happens()
        await answered()
        event = next(one for one in [*deliveries.history][before:] if one.event_type == copied)
        self.tests.append(Copier(self._emulator).of_event(event.event_id))

    async def _retried(self) -> None:
        await until(lambda: any(one["outcome"] == "retried" for one in self._emulator.observations))

    def last(self, *, of_bot: bool) -> dict[str, Any]:
        """The last message of the bot, or of a person, in any chat."""
        messages = [message for chat in self._emulator.snapshot()["chats"] for message in chat["messages"]]
        return max((one for one in messages if one["is_from_me"] == of_bot), key=lambda one: one["created_at"])

    @property
    def whole(self) -> str:
        """The test of the only chat, as the page saves it."""
        (chat,) = self._emulator.state.chats.values()
        return Copier(self._emulator).of_chat(chat)

    def options(self, message_id: str) -> dict[str, str]:
        """The ids of the options of a poll, by their texts."""
        _, _, poll = self._emulator.state.poll(message_id)
        return {option.text: option.id for option in poll.options}

    @property
    def payment(self) -> str:
        """The id of the last payment."""
        return str(self._emulator.snapshot()["payments"][-1]["id"])


@asynccontextmanager
async def talk(folder: Path, name: str, code: str | None = None) -> AsyncIterator[Talk]:
    """Run a bot, by default the example of this name, in the folder of the tests."""
    storage, file = folder / name, folder / f"{name}.py"
    storage.mkdir()
    file.write_text(code or (EXAMPLES / file.name).read_text())
    bot, running = load_bot(str(file)), list[RunningApp]()

    def post(report: dict[str, Any]) -> None:
        for app in running:  # none at the bot's start
            app.emulator.observe(report)

    turns = TurnReports(lambda turn: post(turn.for_page()), post)
    async with run_app(bot, storage, plugins=load(bot.plugins, built_in=[turns])) as app:
        running.append(app)
        yield Talk(app)


def run_copied(tests: list[str], folder: Path) -> dict[str, str]:
    """Run copied tests next to their bots, in one pytest. Return the outcome of each file by its name."""
    for number, test in enumerate(tests):
        (folder / f"test_{number}.py").write_text(test)
    options = ("-q", "-n0", "-rA", "-W", "error", "-p", "no:langsmith_plugin", "--rootdir", str(folder))
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) (test_\d+)\.py::", done.stdout, re.MULTILINE)
    assert len(outcomes) == len(tests), done.stdout + done.stderr
    return {name: outcome for outcome, name in outcomes}


@pytest.mark.slow
@pytest.mark.process
async def test_copied_tests_pass_until_a_bot_answers_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    of_running_bots = (effects, a_group, tapbacks, votes, places, polls_and_money, cards_and_members, names)
    tests = [test for conversation in (*of_running_bots, a_failing_bot) for test in await conversation(tmp_path)]
    otherwise = re.sub('reply == "', 'reply == "not ', tests[0])
    outcomes = run_copied([*tests, otherwise], tmp_path)
    assert outcomes.pop(f"test_{len(tests)}") == "FAILED"
    assert set(outcomes.values()) == {"PASSED"}, (outcomes, tests)


async def effects(folder: Path) -> list[str]:
    async with talk(folder, "effects") as person:
        for text in ("party", "something else", "bold"):
            await person.writes(text)
        return [*person.tests, person.whole]


async def a_group(folder: Path) -> list[str]:
    async with talk(folder, "group") as person:
        mentions = [{"handle": LINE, "range": [0, 9]}]
        started = await person.writes(
            "@Your bot who is in?", part={"mentions": mentions}, **{"from": BOB, "group": [ANN, CAT]}
        )
        chat = {"chat_id": started["chat_id"]}
        await person.writes("hey bot", part={"mention": LINE}, **chat)
        await person.writes("just us", **chat)  # the bot does not answer
        return person.tests


async def tapbacks(folder: Path) -> list[str]:
    async with talk(folder, "reactions") as person:
        joke = await person.writes("tell me a joke")
        love = {"from": ANN, "message_id": joke["id"], "type": "love", "operation": "add"}
        await person.does(conversation.React(**love), "reaction.added")
        return person.tests


async def votes(folder: Path) -> list[str]:
    async with talk(folder, "votes", BOT) as person:
        asked = await person.writes("lunch", group=[BOB])

        async def vote(by: str, text: str, event: str, operation: str = "add") -> None:
            act = {"from": by, "message_id": asked["id"], "option_id": person.options(asked["id"])[text]}
            await person.does(chat_acts.Vote(**act, operation=operation), event)

        tacos = chat_acts.AddOptions(**{"from": BOB}, message_id=asked["id"], options=["Tacos"])
        await person.does(tacos, "poll.updated")
        await vote(ANN, "Tacos", "poll.vote.added")
        await person.writes("add", chat_id=asked["chat_id"], reply_to=asked["id"])
        await vote(BOB, "Noodles", "poll.vote.added")
        await vote(ANN, "Tacos", "poll.vote.removed", "remove")
        return [*person.tests, person.whole]


async def places(folder: Path) -> list[str]:
    async with talk(folder, "places", BOT) as person:
        chat: dict[str, Any] = {"from": ANN, "chat_id": (await person.writes("hi"))["chat_id"]}
        share = chat_acts.ShareLocation
        await person.does(share(**chat, latitude=48.86), "location.sharing.started")
        person.moves(share(**chat, latitude=48.87))
        await person.writes("where")
        await person.does(share(**chat, state="stopped"), "location.sharing.stopped")
        await person.does(share(**chat, latitude=48.88, for_s=3600), "location.sharing.started")
        await person.waits(3600, "location.sharing.stopped")
        return [*person.tests, person.whole]


async def a_failing_bot(folder: Path) -> list[str]:
    async with talk(folder, "failing", BOT) as person:
        await person.fails("fails")
        assert '== "ZeroDivisionError"' in person.tests[0]
        tests = [*person.tests, person.whole]
    async with talk(folder, "failing_twice", BOT) as person:
        await person.writes("fails twice")
        tests += [*person.tests, person.whole]
        assert "phone.errors" in person.whole
        person.corrected_before_the_last_turn()
        assert "phone.errors" not in person.whole
        return tests


async def polls_and_money(folder: Path) -> list[str]:
    async with talk(folder, "polls_and_money", BOT) as person:
        asked = await person.writes("lunch")
        chat: dict[str, Any] = {"from": ANN, "chat_id": asked["chat_id"]}
        vote = {"from": ANN, "message_id": asked["id"], "option_id": asked["poll"]["options"][1]["option_id"]}
        await person.does(chat_acts.Vote(**vote), "poll.vote.added")
        await person.does(chat_acts.Vote(**vote, operation="remove"), "poll.vote.removed")
        await person.does(chat_acts.MakePoll(**chat, options=["tea", "cake"]), "poll.received")
        made = {"from": ANN, "message_id": person.last(of_bot=False)["id"]}
        await person.does(chat_acts.AddOptions(**made, options=["scones"]), "poll.updated")
        heard = await person.does(conversation.React(**made, type="love"), "poll.reaction.added")
        sticker = {"from": ANN, "message_id": heard["id"], "type": "sticker", "emoji": "🎂"}
        await person.does(conversation.React(**sticker), "reaction.added")
        place = {"latitude": 48.86, "longitude": 2.35, "for_s": 3600}
        await person.does(chat_acts.ShareLocation(**chat, **place), "location.sharing.started")
        await person.does(chat_acts.ShareLocation(**chat, state="stopped"), "location.sharing.stopped")
        await person.writes("bill")
        await person.does(chat_acts.Decline(id=person.payment), "payment.declined")
        await person.does(chat_acts.Pay(id=person.payment), "payment.succeeded")
        assert ".add_option(" in person.whole  # Linq names our line as the sender of this event
        return [*person.tests, person.whole]


async def cards_and_members(folder: Path) -> list[str]:
    async with talk(folder, "cards_and_members", BOT) as person:
        await person.writes("hi")
        card = {"from": ANN, "to": LINE, "first_name": "Ann", "last_name": "Lee"}
        await person.does(chat_acts.ShareCard(**card), "contact_card.received")
        started = await person.writes("all of us", group=[BOB])
        chat = {"chat_id": started["chat_id"]}
        await person.does(chat_acts.Join(**chat, **{"from": ANN, "handle": CAT}), "participant.added")
        await person.does(chat_acts.Leave(**chat, **{"from": CAT}), "participant.removed")
        await person.does(chat_acts.Leave(**chat, **{"from": ANN, "handle": BOB}), "participant.removed")
        return person.tests


async def names(folder: Path) -> list[str]:
    async with talk(folder, "names", BOT) as person:
        started = await person.writes("name us", group=[BOB])
        named = conversation.NameGroup(**{"from": BOB}, chat_id=started["chat_id"], name="Lunch")
        await person.does(named, "chat.group_name_updated")
        assert '.rename("Lunch")' in person.whole
        assert '.rename("Us")' not in person.whole  # the bot did that
        return [*person.tests, person.whole]


async def test_a_poll_without_webhook_is_left_out_unless_it_has_a_vote(emulator: Emulator, receiver: Receiver) -> None:
    emulator.subscribe("https://hook.example", ["message.received", "poll.vote.added"])
    await arrives(emulator, "hello")
    (chat,) = emulator.state.chats.values()
    made = emulator.do(chat_acts.MakePoll(**{"from": PERSON, "chat_id": chat.id, "options": ["Tea", "Cake"]})) or {}
    assert ".poll(" not in Copier(emulator).of_chat(chat)
    _, _, poll = emulator.state.poll(made["message_id"])
    emulator.do(chat_acts.Vote(**{"from": PERSON, "message_id": made["message_id"], "option_id": poll.options[0].id}))
    await emulator.flush()
    assert receiver.of("poll.vote.added")
    with pytest.raises(ApiError, match=r"does not have the webhooks of all messages.* a handler of PollReceived"):
        Copier(emulator).of_chat(chat)
    (vote,) = [one for one in emulator.world.deliveries.history if one.event_type == "poll.vote.added"]
    with pytest.raises(ApiError, match="a handler of PollReceived"):
        Copier(emulator).of_event(vote.event_id)
