"""A repair shop that takes photos and voice memos. Try it: linqbot dev examples/photos_and_voice.py, and attach files."""

import io
import tempfile
import wave
from pathlib import Path

from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived, contact_card, has_media, media, voice_memo

SHELF = Path(tempfile.gettempdir())
bot = Bot()


class Repair(BaseModel):
    photos: list[str] = []
    memos: list[str] = []


@bot.on_message(has_media)
async def keep(message: MessageReceived, ctx: Context) -> str:
    repair = await ctx.state.chat(Repair)
    for number, part in enumerate(message.media):  # not under part.filename, which the sender chose
        saved = await part.save(SHELF / (name := f"{message.id}-{number}"), max_bytes=10_000_000)
        if saved.unavailable:
            ctx.log.warning("file.unavailable", why=saved.unavailable)  # for the developer, not for the person
            await ctx.reply("I could not open your file. Please send it again.")
        elif part.is_voice_memo or saved.mime_type.startswith("image/"):  # HEIC too, as iPhones take them
            (repair.memos if part.is_voice_memo else repair.photos).append(name)
        else:
            await ctx.reply("I take photos and voice memos.")
    return f"I have {len(repair.photos)} photos and {len(repair.memos)} voice memos. Write 'done' to send them."


@bot.on_message("done")
async def order(message: MessageReceived, ctx: Context) -> None:
    repair = await ctx.state.chat(Repair)
    photo = (media(SHELF / name, filename="photo.jpg") for name in repair.photos[-1:])
    await ctx.reply("We have your order:", *photo, effect="slam")
    await ctx.reply(voice_memo(chime(), filename="chime.wav", text="Ding, dong!"), contact_card())
    repair.photos, repair.memos = [], []


@bot.on_message
def explain(message: MessageReceived, ctx: Context) -> str:
    return "Send photos of what is broken, and tell me in a voice memo what happened."


def chime() -> bytes:  # A real bot would read a recording, or let a model speak.
    with wave.open(out := io.BytesIO(), "wb") as sound:
        sound.setparams((1, 1, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(90 + 80 * (i // pitch % 2) for pitch in (6, 8) for i in range(4000)))
    return out.getvalue()
