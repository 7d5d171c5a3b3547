"""`ctx.bot` as authors have it: the acts of features outside of the event's chat, and those of questions. Imported when it is used."""

from __future__ import annotations

from linqbot.features.asking.session import session_of
from linqbot.features.proactive import BotSpeaker
from linqbot.options import check_chat_id


class BotContext(BotSpeaker):
    """The acts outside of the event's chat, which `ctx.bot` has."""

    async def end_questions(self, chat_id: str) -> None:
        """End the open questions of `ask` in any chat, such as one that a person takes over, as `linqbot waiting cancel` does.

        Their handlers get AskCancelled with the reason "operator"; if they do not catch it, the bot says its
        `on_ask_cancelled` there, if it has one. Answers that wait already are handled before. What `pay`, `location` and
        `vote` wait for stays open. For the event's own chat, `ctx.end_questions()` ends them without a word.

        Raises:
            BotError: `chat_id` is the handle of a person.
            StorageUnavailable: not all of them were ended.
        """
        check_chat_id(chat_id, "ctx.bot.end_questions")
        await session_of(self._helpers).cancel_questions(chat_id)
