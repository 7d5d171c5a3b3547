"""The decorators for common events: which events reach their handlers, and what the bot subscribes to for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from linqbot import Bot, BotError, Context, Event, MessageContent, TextPart, in_group
from linqbot.ops.subscriptions import handled_when_served
from linqbot.settings import from_env
from linqbot.testing import talking

BOB, EVE = "+14155550143", "+14155550144"


class Seen:
    """A bot that notes the types of the events of its handlers."""

    def __init__(self) -> None:
        self.bot = Bot(groups="all")
        self.types: list[str] = []

    def note(self, decorate: Callable[[Any], Any]) -> None:
        async def note(event: Event, ctx: Context) -> None:
            self.types.append(event.type)

        decorate(note)


async def test_each_decorator_takes_what_people_do() -> None:
    seen = Seen()
    bot = seen.bot
    for decorate in (bot.on_typing, bot.on_delivery, bot.on_poll_vote, bot.on_group_change, bot.on_location):
        seen.note(decorate)
    seen.note(bot.on_payment("succeeded"))
    seen.note(bot.on_reaction("like", removed=True))

    async def expect(*types: str) -> None:
        await phone.quiet()
        assert sorted(seen.types) == sorted(types)
        seen.types.clear()

    async with talking(bot) as phone:
        message = await phone.text("hi")
        await phone.typing()
        await phone.typing(False)
        await expect("chat.typing_indicator.started", "chat.typing_indicator.stopped")
        await phone.react(message, "like")
        await phone.react(message, "like", remove=True)
        await expect("reaction.removed")
        content = MessageContent(parts=[TextPart(value="hello")])
        await phone.client.chats.messages.send(phone.chat_id, message=content)
        await phone.read()
        await expect("message.sent", "message.delivered", "message.read")
        poll = await phone.poll("tea", "milk")
        await phone.vote(poll, "tea")
        await phone.vote(poll, "tea", remove=True)
        await expect("poll.vote.added", "poll.vote.removed")
        await phone.share_location(48.85, 2.35)
        await phone.stop_sharing_location()
        await expect("location.sharing.started", "location.sharing.stopped")
        await phone.client.payment_requests.create(mode="payment", amount=900, currency="usd", description="1 soup")
        await phone.pay()
        await expect("payment.succeeded")


async def test_changes_of_a_group_reach_their_handler_and_a_background_of_a_direct_chat_does_not() -> None:
    seen = Seen()
    seen.note(seen.bot.on_group_change)

    async with talking(seen.bot) as phone:
        group = phone.group(BOB)
        await group.text("hi")
        await group.bring(EVE)
        await group.by(EVE).leave()
        await group.rename("Dinner")
        await phone.text("hi")
        await phone.set_background("mango")
        await phone.quiet()
        assert seen.types == ["participant.added", "participant.removed", "chat.group_name_updated"]
        await group.set_background("mango")
        await phone.quiet()
        assert seen.types[3:] == ["chat.background_updated"]


def test_a_handler_subscribes_the_bot_to_exactly_the_events_that_it_takes() -> None:
    async def note(event: Event, ctx: Context) -> None: ...

    bot = Bot()
    bot.on_delivery("failed")(note)
    bot.on_typing("started")(note)
    bot.on_group_change("added", in_group)(note)
    bot.on_group_change("icon")(note)
    bot.on_payment(note)
    payments = (f"payment.{end}" for end in ("succeeded", "canceled", "expired", "declined", "authorized"))
    others = ("message.failed", "chat.group_icon_updated", "chat.typing_indicator.started", "participant.added")
    assert handled_when_served(bot, from_env({"LINQBOT_PLUGINS": ""})).types == (*others, *payments)


NAMED = [  # a decorator, one of its names, a misspelt name, and what is said about that
    ("on_typing", "started", "start", "Did you mean 'started'"),
    ("on_delivery", "failed", "opened", "There are: sent, delivered, read, failed"),
    ("on_poll_vote", "removed", "add", "Did you mean 'added'"),
    ("on_group_change", "background", "rename", "Did you mean 'renamed'"),
    ("on_location", "stopped", "start", "Did you mean 'started'"),
    ("on_payment", "succeeded", "cancelled", "Did you mean 'canceled'"),
]


@pytest.mark.parametrize(("decorator", "name", "misspelt", "says"), NAMED)
async def test_a_misspelt_name_is_refused_and_a_handler_of_all_may_follow_one_of_a_single_name_but_not_one_of_all(
    decorator: str, name: str, misspelt: str, says: str
) -> None:
    with pytest.raises(BotError, match=rf"@bot.{decorator}\('{misspelt}'\).*{says}"):
        getattr(Bot(), decorator)(misspelt)

    async def one(event: Event, ctx: Context) -> None: ...

    async def rest(event: Event, ctx: Context) -> None: ...

    async def too_late(event: Event, ctx: Context) -> None: ...

    bot = Bot()
    getattr(bot, decorator)(name)(one)
    getattr(bot, decorator)(rest)
    async with talking(bot):
        pass
    getattr(bot, decorator)(too_late)
    with pytest.raises(BotError, match="too_late can never run"):
        async with talking(bot):
            pass
