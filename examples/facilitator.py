"""A facilitator for groups: it learns names, lets people vote, names the group after the result, and sums up.

Try it: linqbot dev examples/facilitator.py, and in a group: "I am Ann", "vote: Thai, Pizza", "who is here", "summary".
"""

from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived, in_group, regex
from linqbot.events import ParticipantAdded

HELP = 'Write "I am Ann" for your name, "vote: Thai, Pizza" to decide, and "who is here" or "summary".'
bot = Bot(groups="all", on_trouble="One moment, please.")  # It reads every message, and answers only those below.


class Group(BaseModel):
    names: dict[str, str] = {}
    decisions: list[str] = []

    def name(self, handle: str) -> str:
        return self.names.get(handle.lower(), f"{handle[:2]}…{handle[-4:]}")


@bot.on_group_change("added")
async def welcome(change: ParticipantAdded, ctx: Context) -> None:
    await ctx.send(f"Hello! {HELP}" if change.participant.is_me else "Welcome! What is your name? Write: I am …")


@bot.on_message(in_group, regex(r"^i am (\w+)$"))
async def learn(message: MessageReceived, ctx: Context) -> None:
    group = await ctx.state.chat(Group)
    group.names[message.sender.handle.lower()] = ctx.match[1].capitalize()
    await ctx.react("like")


@bot.on_message(in_group, regex(r"^who is here\??$"))
async def who(message: MessageReceived, ctx: Context) -> None:
    group = await ctx.state.chat(Group)
    await ctx.send("Here are " + ", ".join(sorted(group.name(person.handle) for person in await ctx.chat.people())))


@bot.on_message(in_group, regex(r"^vote: ?(.+,.+)$"))
async def decide(message: MessageReceived, ctx: Context) -> None:
    choices = list(dict.fromkeys(choice.strip() for choice in ctx.match[1].split(",") if choice.strip()))
    result = await ctx.vote(choices, "Please vote:", timeout_s=3600)
    group = await ctx.state.chat(Group)
    voters = {choice: [group.name(who) for who, for_ in result.votes.items() if choice in for_] for choice in choices}
    await ctx.send("\n".join(f"{choice}: {', '.join(sorted(who)) or '-'}" for choice, who in voters.items()))
    if result.winner is not None:
        group.decisions.append(result.winner)
        await ctx.chat.rename(result.winner)


@bot.on_message("summary")
async def sum_up(message: MessageReceived, ctx: Context) -> None:
    group = await ctx.state.chat(Group)
    await ctx.send("Decided: " + ", ".join(group.decisions) if group.decisions else f"Nothing is decided yet. {HELP}")
