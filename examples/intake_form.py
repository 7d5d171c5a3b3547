"""A form: name, e-mail with a mailed code, party size by poll, confirmation. It remembers who wrote before.

Try it: linqbot dev examples/intake_form.py, and write "table". The terminal shows the code.
"""

import re
import secrets

from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived

bot = Bot(on_ask_cancelled="Another time, then.")


class Guest(BaseModel):
    name: str = ""
    email: str = ""
    tables: int = 0


def email_address(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text.strip()):
        raise ValueError("Please write an e-mail address, such as ada@example.com.")
    return text.strip().lower()


def mail_code(email: str) -> str:
    code = f"{secrets.randbelow(10_000):04}"  # A real bot would call its mail service here.
    print(f"To {email}: your code is {code}")
    return code


async def verified_email(ctx: Context) -> str:
    email = await ctx.ask("Your e-mail address?", kind=email_address)
    # Recorded: the handler runs again after each answer. With retry=True, after a crash a second mail is sent.
    code = await ctx.once("code", lambda _: mail_code(email), kind=str, retry=True)

    def check(text: str) -> str:
        if text.strip() != code:
            raise ValueError("That is not the code. Please look again.")
        return code

    await ctx.ask("I have mailed you a code. Which one?", kind=check, tries=3)
    return email


@bot.on_message("table")
async def table(message: MessageReceived, ctx: Context) -> str:
    guest = await ctx.state.person(Guest)
    guest.name = guest.name or await ctx.ask("Your name?")
    guest.email = guest.email or await verified_email(ctx)
    people = await ctx.ask("How many people?", choices=["2", "4", "6"])
    sure = await ctx.ask(f"A table for {people}, {guest.name}. Book it?", yes="like")
    guest.tables += sure
    return f"Booked. See you soon, {guest.name}!" if sure else "Not booked."
