"""A weekly newsletter for the people who asked for it. Try it: linqbot dev examples/newsletter.py, and write "news on"."""

from pydantic import BaseModel

from linqbot import Bot, BroadcastDone, Context, MessageReceived, ScheduleDue

EDITOR = "+14155550199"
LINE = "+12025550100"  # your line that the news come from
bot = Bot()


class Subscriber(BaseModel):
    wants_news: bool = False


class News(BaseModel):
    text: str = ""


@bot.on_message("news on", "news off")
async def choose(message: MessageReceived, ctx: Context) -> str:
    subscriber = await ctx.state.person(Subscriber)
    subscriber.wants_news = "news on" in message.text.lower()  # also "News on!"
    return "You get the news on Mondays." if subscriber.wants_news else "You get no more news."


@bot.on_message
async def write(message: MessageReceived, ctx: Context) -> str:
    if message.actor != EDITOR:
        return 'Write "news on" to get the news on Mondays.'
    news = await ctx.state.bot(News)
    news.text = message.text
    return "That will be sent on Monday at 9."


@bot.every("mon 09:00", timezone="Europe/Paris")
async def send(event: ScheduleDue, ctx: Context) -> None:
    news = await ctx.state.bot(News)
    if news.text:
        subscribers = ctx.state.people(Subscriber, where=lambda subscriber: subscriber.wants_news)
        # The same name is the same broadcast, so a second run of this handler sends nothing twice.
        name = f"news-{event.due:%Y-%m-%d}"
        await ctx.bot.broadcast(subscribers, news.text, name=name, per_minute=20, line=LINE)
        news.text = ""


@bot.on_broadcast_done
async def report(broadcast: BroadcastDone, ctx: Context) -> None:
    gone = broadcast.opted_out + broadcast.refused + broadcast.failed
    await ctx.bot.send(f"{broadcast.sent} people got the news, {gone} did not.", to=EDITOR)
