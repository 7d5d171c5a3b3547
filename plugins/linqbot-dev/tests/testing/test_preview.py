"""`ctx.preview` and `ctx.capabilities`: what people would see on each service, and what their phones can receive."""

from __future__ import annotations

from answers import answers
from one_handler import bot_of

from linqbot import (
    Capabilities,
    Context,
    MessageReceived,
    Preview,
    contact_card,
    markdown,
    media,
    poll,
    sticker,
    voice_memo,
)
from linqbot.content.preview import preview
from linqbot.linq.types.message import LinkPart, TextDecoration, TextPart
from linqbot.testing import talking


def looks(preview: Preview, service: str) -> list[tuple[str, str, tuple[str, ...], str | None]]:
    return [(one.kind, one.text, one.files, one.effect) for one in preview.on(service).messages]


async def test_the_forms_of_a_preview_are_those_that_are_sent() -> None:
    seen = list[Preview]()

    async def show(message: MessageReceived, ctx: Context) -> None:
        content = (
            markdown("**Lunch** at https://example.com/menu"),
            media(b"x", filename="menu.png"),
            voice_memo(b"x", filename="memo.m4a", text="Hello!"),
            poll("Thai", "Pizza"),
            contact_card(),
            sticker("https://example.com/yum.png"),
        )
        preview = ctx.preview(*content, effect="confetti")
        seen.append(preview)
        sent = await ctx.reply(*content, effect="confetti")
        lost = set(sent.degraded) - {"contact_card"}  # this line has none
        assert lost == set(preview.on(message.service).degraded)

    async with talking(bot_of(show)) as phone:
        await answers(phone, "hi")
        on_imessage = [(str(bubble), bubble.effect) for bubble in phone.messages[1:] if bubble]
        sms = phone.person("+14155550177", service="SMS")
        on_sms = await answers(sms, "hi")
        uploads = [call for call in phone.calls if call.name == "attachments.create"]
        assert len(uploads) == 3  # two for iMessage, and one for SMS: a preview uploads nothing
    preview = seen[0]
    assert looks(preview, "iMessage") == [
        ("message", "Lunch at", (), None),
        ("link", "https://example.com/menu", (), None),
        ("message", "", ("menu.png",), None),
        ("voice_memo", "Hello!", ("memo.m4a",), None),
        ("poll", "Thai\nPizza", (), None),
        ("contact_card", "", (), None),
        ("message", "", ("https://example.com/yum.png",), "confetti"),
    ]
    assert on_imessage == [("Lunch at", None), ("https://example.com/menu", None)]
    assert preview.sms.degraded == preview.rcs.degraded == ("voice_memo", "poll", "sticker", "effect")
    assert [one.text for one in preview.sms.messages if one.kind == "message"] == on_sms


def test_rcs_and_sms_show_parts_without_styles_and_cards() -> None:
    bold = TextPart(value="Hi", text_decorations=(TextDecoration(range=(0, 2), style="bold"),))
    link = LinkPart(value="https://example.com/")
    shown = preview((bold, link), effect=None, cards=True, is_group=False)
    assert [one.parts for one in shown.imessage.messages] == [(bold,), (link,)]
    assert [one.parts for one in shown.sms.messages] == [(TextPart(value="Hi"),), (TextPart(value=link.value),)]


async def test_linq_is_asked_once_per_person_and_doubts_are_not_kept() -> None:
    found = list[Capabilities]()

    async def look(message: MessageReceived, ctx: Context) -> None:
        found.append(await ctx.capabilities())

    async with talking(bot_of(look), service="SMS") as phone:
        phone.fail_next("capability.check_RCS", status=503, code=4010, times=3)  # each attempt of the first question
        for _ in range(3):
            await answers(phone, "hi")
        await phone.advance(31 * 86_400)
        await answers(phone, "hi")
        asked = [call.name for call in phone.calls if call.name.startswith("capability.")]
        blue = phone.person("+14155550178")
        await answers(blue, "hi")
    assert found[0] == Capabilities(imessage=False, rcs=None)
    assert found[-2:] == [Capabilities(imessage=False, rcs=False), Capabilities(imessage=True, rcs=True)]
    assert [one.service for one in found[-2:]] == ["SMS", "iMessage"]
    assert asked.count("capability.check_i_message") == 3
