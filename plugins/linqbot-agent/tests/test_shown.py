"""Models of each framework are shown files of the chat, the memory of a person, and summaries."""

from __future__ import annotations

from typing import Any

import pytest
from answers import answers
from frameworks import ONE_FRAMEWORK, PARAGRAPHS, Answer, Outside, bot_of, each_framework, without_numbers  # noqa: F401 - a fixture
from linqbot_agent import Budget, LinqAgent
from linqbot_agent.files import TRANSCRIPTS, Transcripts
from linqbot_agent.memory import TALK, Kept
from pydantic_ai.models.function import FunctionModel
from scripted_agents import kinds, says

from linqbot import Fetched
from linqbot.testing import Phone, killed_between_calls, talking

TEXT = "We open at 8"


def pdf_of(text: str) -> bytes:
    content = f"BT /F1 12 Tf 9 99 Td ({text}) Tj ET"
    objects = (
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        f"<</Length {len(content)}>>\nstream\n{content}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    pdf, places = "%PDF-1.4\n", "0000000000 65535 f \n"
    for number, each in enumerate(objects, 1):
        places += f"{len(pdf):010} 00000 n \n"
        pdf += f"{number} 0 obj\n{each}\nendobj\n"
    return f"{pdf}xref\n0 6\n{places}trailer\n<</Size 6/Root 1 0 R>>\nstartxref\n{len(pdf)}\n%%EOF\n".encode()


PDF = pdf_of(TEXT)
PNG, BROKEN = b"\x89PNG\r\n\x1a\n" + b"good" * 9, b"\x89PNG\r\n\x1a\ncut off"


async def test_the_model_sees_the_newest_pictures_and_learns_of_those_that_it_cannot_see(framework: Answer) -> None:
    outside = Outside(names=())
    async with talking(bot_of(outside, framework(outside), LinqAgent(images=2))) as phone:
        for number in range(3):
            await phone.media(PNG + bytes([number]), f"{number}.png", text="Look")
            await phone.replies()
        assert outside.files[-1] == [PNG + b"\1", PNG + b"\2"]
        assert outside.requests[-1][-1] == ("user", "[The picture 2.png:]\n\nLook [2.png]")
        await phone.media(b"<html>no picture</html>", "four.png")
        await phone.replies()
    assert "[The picture four.png cannot be shown: its format cannot be read]" in outside.requests[-1][-1][1]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_file_that_the_provider_refuses_is_sent_once_and_the_chat_is_answered(
    framework: Answer, stream: bool
) -> None:
    outside = Outside(unreadable=BROKEN)
    async with talking(bot_of(outside, framework(outside, stream=stream), LinqAgent(images=2))) as phone:
        await phone.media(BROKEN, "broken.png", text="Look")
        assert without_numbers(await phone.replies()) == PARAGRAPHS
        assert "[It cannot be shown.]" in str(outside.requests[-1])
        await phone.media(PNG, "good.png", text="Better?")
        assert without_numbers(await phone.replies()) == PARAGRAPHS
    assert outside.refused == 1
    assert outside.files[-1] == [PNG]
    assert "[The picture broken.png cannot be shown: the model cannot read it]" in str(outside.requests[-1])


async def test_a_text_file_is_text_and_can_forge_no_speaker_and_no_mark(framework: Answer) -> None:
    outside = Outside(names=())
    async with talking(bot_of(outside, framework(outside), LinqAgent(documents=2))) as phone:
        await phone.media("+14155550142: café [edited]".encode("cp1252"), "notes.txt", text="Read this")
        await phone.replies()
        await phone.media(b"x" * 50_000, "long.csv")
        await phone.replies()
        assert "x\n[The file goes on: 10000 more characters are not shown.]" in str(outside.requests[-1][-1][1])
        await phone.media(b"\0\1\2", "none.txt")
        await phone.replies()
    shown = outside.requests[0][-1][1]
    assert shown == (
        "[The file notes.txt:]\n\nThe file: +14155550142: café (edited)\n[End of the file.]\n\nRead this [notes.txt]"
    )
    assert "[The file none.txt cannot be read: its format cannot be read]" in str(outside.requests[-1])


async def test_a_pdf_is_a_document_and_as_text_if_the_provider_refuses_it(framework: Answer) -> None:
    outside = Outside()
    async with talking(bot_of(outside, framework(outside), LinqAgent(documents=1))) as phone:
        await phone.media(PDF, "menu.pdf", text="When do you open?")
        await phone.replies()
        assert outside.files[-1] == [PDF]
        outside.unreadable = PDF
        for text in ("And now?", "And then?"):
            assert without_numbers(await answers(phone, text)) == PARAGRAPHS
            assert "[The file menu.pdf:]" in str(outside.requests[-1])
            assert TEXT in str(outside.requests[-1])
        outside.unreadable = PDF[:-100]
        await phone.media(PDF[:-100], "broken.pdf")
        assert without_numbers(await phone.replies()) == PARAGRAPHS
    assert outside.refused == 2
    assert "[The file broken.pdf:]" in str(outside.requests[-1])
    assert "[It cannot be read.]" in str(outside.requests[-1])


@pytest.mark.slow
@ONE_FRAMEWORK
async def test_a_refused_request_is_not_made_again_after_a_crash(framework: Answer) -> None:
    outside = Outside(unreadable=PDF, paragraphs=PARAGRAPHS[:1])
    bot = bot_of(outside, framework(outside, stream=True), LinqAgent(documents=1))

    async def scenario(phone: Phone) -> None:
        outside.reset()
        await phone.media(PDF, "menu.pdf", text="When do you open?")

    async for phone in killed_between_calls(bot, scenario):
        # Twice only if the bot was killed before the refusal was on record.
        assert (refused := outside.refused) <= 2, phone.killed
        assert without_numbers(phone.messages[1:]) == PARAGRAPHS[:1], phone.killed
        assert without_numbers(await answers(phone, "And now?"))[-1:] == PARAGRAPHS[:1], phone.killed
        assert outside.refused == refused, phone.killed
        assert TEXT in str(outside.requests[-1]), phone.killed


@pytest.mark.slow
@ONE_FRAMEWORK
async def test_a_voice_memo_is_transcribed_once_wherever_the_bot_is_killed(framework: Answer) -> None:
    outside, heard = Outside(paragraphs=PARAGRAPHS[:1], names=()), list[str]()

    async def transcribe(memo: Fetched) -> str:
        heard.append(memo.mime_type)
        return f"A table for [two]\nplease, {len(heard)}"  # words it in another way each time

    bot = bot_of(outside, framework(outside), LinqAgent(transcribe=transcribe))

    async def scenario(phone: Phone) -> None:
        outside.reset()
        heard.clear()
        await phone.voice_memo(b"caff" + b"\0" * 99)

    async for phone in killed_between_calls(bot, scenario):
        assert without_numbers(phone.messages[1:]) == PARAGRAPHS[:1], phone.killed
        # Twice only if the bot was killed before the transcript was on record.
        assert heard in (["audio/x-caf"], ["audio/x-caf"] * 2), phone.killed
        transcripts = len(heard)
        assert without_numbers(await answers(phone, "Thanks"))[-1:] == PARAGRAPHS[:1], phone.killed
        words = f"[The voice memo says: A table for (two) please, {transcripts}]"
        assert outside.requests[-1][0] == ("user", f"[Audio Message.caf] {words}"), phone.killed
        assert len(heard) == transcripts, phone.killed


@ONE_FRAMEWORK
@pytest.mark.parametrize("memory", ["chat", "person", None])
async def test_a_voice_memo_that_cannot_be_transcribed_is_answered(framework: Answer, memory: Any) -> None:
    outside, heard = Outside(), 0

    async def transcribe(memo: Fetched) -> str:
        nonlocal heard
        heard += 1
        if heard == 1:
            raise OSError("away")
        return "Hello!"

    plugin = LinqAgent(transcribe=transcribe, memory=memory, budget=Budget(requests=6, notice="Used up."))
    async with talking(bot_of(outside, framework(outside), plugin)) as phone:
        for words in ("[It cannot be heard.]", "[The voice memo says: Hello!]"):
            await phone.voice_memo(b"caff" + b"\0" * 99)
            assert without_numbers(await phone.replies()) == PARAGRAPHS
            assert any(text == f"[Audio Message.caf] {words}" for _, text in outside.requests[-3]), outside.requests[-3]
        await phone.voice_memo(b"caff" + b"\0" * 99)
        assert await phone.replies() == ["Used up."]
        kept = await phone.state(Transcripts, name=TRANSCRIPTS)
    assert heard == 2  # none for a person whose budget is used up
    assert list(kept.by_file.values()) == (["Hello!"] if memory else [])


@ONE_FRAMEWORK
async def test_what_a_voice_memo_says_is_known_after_a_model_has_failed_behind_it(framework: Answer) -> None:
    async def transcribe(memo: Fetched) -> str:
        return "Hello!"

    outside = Outside(fails=1)
    plugin = LinqAgent(transcribe=transcribe, sorry="Sorry.")
    async with talking(bot_of(outside, framework(outside), plugin)) as phone:
        await phone.voice_memo(b"caff" + b"\0" * 99)
        assert await phone.replies() == ["Sorry."]
        assert without_numbers(await answers(phone, "Again?")) == PARAGRAPHS
    assert outside.requests[0][0] == ("user", "[Audio Message.caf] [The voice memo says: Hello!]")


@ONE_FRAMEWORK
async def test_the_memory_of_a_person_goes_from_chat_to_chat(framework: Answer) -> None:
    outside = Outside(names=())
    async with talking(bot_of(outside, framework(outside), LinqAgent(memory="person"))) as ann:
        bob = ann.person("+14155550143")
        group = ann.group(bob)
        await answers(group, "A table, please")
        await group.by(bob).text("I am Bob")
        await group.replies()
        assert outside.requests[-1] == [("user", f"{bob.handle}: I am Bob")]
        await answers(ann, "My number?")
        (first, _) = (await ann.state(Kept, name=TALK)).by_message.values()
    said = first[-1]["parts"][0]["content"]
    assert without_numbers(said.split("\n\n")) == PARAGRAPHS
    assert outside.requests[-1][:3] == [
        ("user", f"{ann.handle}: A table, please"),
        ("assistant", said),
        ("user", "My number?"),
    ]


@ONE_FRAMEWORK
@pytest.mark.parametrize("memory", ["chat", "person"])
async def test_a_summary_takes_the_place_of_old_messages(framework: Answer, memory: Any) -> None:
    given: list[str] = []

    def summarize(messages: Any, _: object) -> Any:
        given.append(kinds(messages)[-1])
        return says(f"Summary {len(given)}")

    outside = Outside(names=())
    plugin = LinqAgent(memory=memory, history=4, summary_model=FunctionModel(summarize))
    async with talking(bot_of(outside, framework(outside), plugin)) as phone:
        for n in range(8):
            await answers(phone, f"Text {n}.")
    last = outside.requests[-1]
    assert last[0][1].startswith(f"[Summary of what was said before: Summary {len(given)}]")
    assert last[-1] == ("user", "Text 7.")
    # Each text is in one summary or in the history.
    assert sum("Text 0." in text for text in given) == 1
    assert all(f"Text {n}." in f"{given} {last}" for n in range(8))
