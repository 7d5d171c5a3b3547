"""The owner's words: a text of the owner mutes the bot in all chats, and another one ends that, from any phone.

`Bot(owner="+14155550100", mute_word="bot off")`. The words count in the owner's direct chat alone. They are handlers in front of the
bot's own, so what they do is journalled as any turn, and they are taken in a muted chat too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel

from linqbot.bot.handlers import shown_as
from linqbot.engine.filters import exact, from_handle, in_direct, muted
from linqbot.errors import BotError
from linqbot.language.reading import plain
from linqbot.language.spoken import sentences
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.linq.rules.message import is_opt_out
from linqbot.options import check_handle, check_whole

if TYPE_CHECKING:
    from linqbot.bot.context import Context
    from linqbot.bot.router import Router
    from linqbot.linq.events.message import MessageReceived


def add_words(router: Router, owner: str | None, mute_word: str | None, unmute_word: str) -> None:
    """Add the handlers of the owner's words to a bot.

    Raises BotError if the owner is no handle, or a word is empty, the same as the other one, or opts out at Linq.
    """
    if owner is not None:
        check_handle(owner, "Bot(owner=…)")
    if mute_word is None:
        return
    if owner is None:
        raise BotError('Bot(mute_word=…) needs the handle of the person who may write it: Bot(owner="+1…").')
    for option, word in (("mute_word", mute_word), ("unmute_word", unmute_word)):
        check_whole(f"Bot({option}=…)", word)
        if not isinstance(word, str) or not word.strip():
            raise BotError(f'Bot({option}=…) takes a word or a few, such as "bot off".')
        if is_opt_out(word) or is_opt_out(word.upper()):
            raise BotError(f"Bot({option}={word!r}) opts out of messages at Linq. Choose another word.")
    if plain(mute_word) == plain(unmute_word):
        raise BotError("Bot(mute_word=…) and Bot(unmute_word=…) are the same word.")
    by_owner = from_handle(owner) & in_direct & (muted | ~muted)
    router.on_message(exact(mute_word) & by_owner, during_ask=True)(_mute(unmute_word))
    router.on_message(exact(unmute_word) & by_owner, during_ask=True)(end_mute_of_all)


def _mute(unmute_word: str) -> Callable[[MessageReceived, Context], Awaitable[None]]:
    @shown_as("Bot.mute_word")
    async def mute_all(message: MessageReceived, ctx: Context) -> None:
        if not await _is_newest(message, ctx):
            return
        # First the answer: it would not be sent after the mute.
        await ctx.reply(sentences().bot_is_off.format(word=unmute_word))
        await ctx.bot.mute(EVERY_CHAT, reason="the owner's word")

    return mute_all


@shown_as("Bot.unmute_word")
async def end_mute_of_all(message: MessageReceived, ctx: Context) -> None:
    if await _is_newest(message, ctx):
        await ctx.bot.unmute(EVERY_CHAT)
        await ctx.reply(sentences().bot_is_on)


class _LastWord(BaseModel):
    """The time at which the owner wrote the word that counts, by Linq's clock."""

    at: datetime | None = None


async def _is_newest(message: MessageReceived, ctx: Context) -> bool:
    """Return False for a word that the owner wrote before the one that counts: its webhook came late."""
    last = await ctx.state.chat(_LastWord, name="linqbot owner word")
    if message.sent_at is not None:
        if last.at is not None and message.sent_at < last.at:
            return False
        last.at = message.sent_at
    return True
