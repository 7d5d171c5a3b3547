"""A bot that answers a missed call with a message, and takes a request to call back.

Try it: linqbot dev examples/missed_call.py, and in a second terminal: linqbot trigger call.no_answer
"""

import re
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived, parse
from linqbot.events import CallUnanswered

NUMBER = re.compile(r"\+[1-9]\d{6,14}")
bot = Bot()


class CallBack(BaseModel):
    at: datetime | None = None


def numbers_in(data: Any) -> list[str]:
    """Return the phone numbers in an event's data, in order. Linq has not published the fields of calls yet."""
    if isinstance(data, dict | list):
        return [number for value in (data.values() if isinstance(data, dict) else data) for number in numbers_in(value)]
    return [data] if isinstance(data, str) and NUMBER.fullmatch(data) else []


@bot.on(CallUnanswered)
async def missed(call: CallUnanswered, ctx: Context) -> None:
    lines = {line.phone_number for line in await ctx.client.phone_numbers.list()}
    numbers = numbers_in(call.data)
    ours = [number for number in numbers if number in lines]
    # The first number is taken for the caller's. If it is ours, the call went out from this line, and needs no message.
    if not ours or numbers[0] in lines:
        ctx.log.info("call.not_answered", numbers=len(numbers), ours=len(ours))
        return
    await ctx.bot.send(
        'Sorry that we missed your call! Write your question, or "call me".', to=numbers[0], line=ours[0]
    )


@bot.on_message("call me")
async def call_back(message: MessageReceived, ctx: Context) -> None:
    def time_of(text: str) -> datetime:
        return parse.date_time(text, now=ctx.now("Europe/Paris"), timezone="Europe/Paris")

    wish = await ctx.state.person(CallBack)
    wish.at = await ctx.ask("When shall we call you?", kind=time_of)
    await ctx.reply(f"We will call you on {wish.at:%A at %H:%M}.")


@bot.on_message
async def question(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Thank you. A person will answer you soon.")
