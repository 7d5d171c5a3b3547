"""A plumber: address and photo, a quote by Dana in her own chat, a payment, news of the van, a warning to all customers.

Try it: linqbot dev examples/plumber.py, and write "leak". Dana writes from a second phone with the number +14155550199: the
price, or "tell all: frost tonight". The van's computer posts when it leaves:
linqbot post van.left --dev --id 1 --person +14155550142 --data '{"minutes": 20}'
"""

from typing import Annotated

from pydantic import BaseModel, Field

from linqbot import AskEnded, Bot, Context, MediaPart, MessageReceived, Posted, from_handle, regex

DANA = "+14155550199"
bot = Bot()


class Customer(BaseModel):
    address: str = ""


class Van(BaseModel):
    minutes: int


@bot.on_message("leak")
async def leak(message: MessageReceived, ctx: Context) -> str:
    address = await ctx.ask("What is your address?")
    photo = await ctx.ask("Please send a photo of the leak.", kind=MediaPart)
    dollars = await quote(address, photo, ctx)
    if dollars == 0:
        return "Sorry, Dana cannot come."
    await ctx.reply(f"Dana comes for ${dollars}, once you have paid.")
    if not await ctx.pay(dollars * 100, "Plumber"):
        return 'That was not paid. Write "leak" to begin again.'
    customer = await ctx.state.person(Customer)
    customer.address = address
    await ctx.bot.send(f"Paid: {address}", to=DANA)
    return "Paid! I write to you when Dana is on her way."


async def quote(address: str, photo: MediaPart, ctx: Context) -> int:
    """Return Dana's price in dollars: she reads the question in her own chat, and no one else can answer it."""
    price = Annotated[int, Field(ge=0, le=5000)]
    question, meanwhile = f"{address}. How many dollars? 0 is no.", "Thank you! I have asked Dana for the price."
    try:
        return await ctx.ask(question, photo, kind=price, who=DANA, meanwhile=meanwhile)
    except AskEnded:
        return 0  # she has not answered within a day, or never mind, or she has opted out


@bot.on_post("van.left")
def van_left(post: Posted, ctx: Context) -> str:
    return f"Dana is with you in {post.read(Van).minutes} minutes."


@bot.on_message(regex(r"(?s)^tell all: (?P<news>.+)"), from_handle(DANA), during_ask=True)
async def tell_all(message: MessageReceived, ctx: Context) -> str:
    broadcast = await ctx.bot.broadcast(ctx.state.people(Customer), ctx.match["news"], name=f"news-{message.id}")
    return f"That goes to all customers: {broadcast.people}."


@bot.on_message
def explain(message: MessageReceived, ctx: Context) -> str:
    return 'Write "leak", and I ask Dana, the plumber, for a price.'
