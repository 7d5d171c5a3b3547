"""A shop: who pays gets one order, whatever crashes. Try it: linqbot dev examples/shop.py, write "soup" and pay."""

from linqbot import Ambiguous, Bot, Context, Declined, Expired, MessageReceived, Paid

MENU = {"soup": 800, "trout": 2100, "apple tart": 700}  # in US cents
bot = Bot()


class Kitchen:
    """Another system, such as the till of a restaurant. A real bot would call it over HTTP."""

    def __init__(self) -> None:
        self.orders: dict[str, str] = {}
        self.tickets: list[str] = []

    async def order(self, dish: str, *, idempotency_key: str) -> int:
        """Store an order, and return its number. A repeated key is recognized, as by most shops' APIs."""
        self.orders.setdefault(idempotency_key, dish)
        return [*self.orders].index(idempotency_key) + 1

    async def print_ticket(self, text: str) -> None:
        """Print a ticket. A printer recognizes nothing: called twice, it prints twice."""
        self.tickets.append(text)


kitchen = Kitchen()


@bot.on_message(*MENU)
async def order(message: MessageReceived, ctx: Context) -> None:
    dish = next(dish for dish in MENU if dish in message.text.lower())  # also of "Soup!"
    match await ctx.pay(MENU[dish], f"1 {dish}", timeout_s=3600):
        case Paid():
            await cook(dish, ctx)
        case Declined():
            await ctx.reply(f"Your bank has declined it. Write '{dish}' to try another card.")
        case Expired():
            await ctx.reply(f"Not paid within an hour, so not ordered. Write '{dish}' to order again.")


async def cook(dish: str, ctx: Context) -> None:
    # With retry=True the call is made again after a crash in the middle of it: the kitchen recognizes the key.
    number = await ctx.once("order", lambda key: kitchen.order(dish, idempotency_key=key), retry=True)
    try:
        await ctx.once("ticket", lambda _: kitchen.print_ticket(f"{number}: {dish}"))
    except Ambiguous:  # The process died while it printed: no record says if there is a ticket.
        await ctx.reply(f"You have order {number}. Please tell the waiter, too.")
    else:
        await ctx.reply(f"Your {dish} is order {number}.", effect="celebration")


@bot.on_message
def menu(message: MessageReceived, ctx: Context) -> str:
    return "\n".join(["We have:", *(f"{dish} ${cents / 100:.2f}" for dish, cents in MENU.items())])
