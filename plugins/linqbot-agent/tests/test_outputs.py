"""Outputs of an agent as data: texts with effects, tapbacks, polls, files and silence, said once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from answers import answers
from every_output import EVERYTHING, PHOTO, assert_is_said_once
from linqbot_agent import Media, Poll, Say, Silence, Tapback
from pydantic_ai import Agent, ModelResponse
from pydantic_ai.messages import ModelMessage, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import Script, bot_with, calls, fixed, says, tool

from linqbot.testing import killed_between_calls, talking

TAP_LOVE = ToolCallPart("final_result", {"name": "love"}, "c9")


async def test_an_agent_answers_with_a_tapback_and_no_words() -> None:
    script = Script(calls(TAP_LOVE), says("You are welcome."))
    agent = Agent(script.model, output_type=[str, Tapback])
    async with talking(bot_with(agent)) as phone:
        thanks = await phone.text("Thanks!")
        tapback = await phone.next_tapback()
        assert (tapback, tapback.on) == ("love", thanks)
        assert await answers(phone, "Really!") == ["You are welcome."]


@pytest.mark.parametrize("output", [Silence(), None, [], "  "])
async def test_silence_says_nothing_and_the_model_is_not_asked_again(output: object) -> None:
    script = Script(calls(tool("final_result", "c1")))
    agent: Agent[None, Any] = Agent(script.model, output_type=lambda: output)
    async with talking(bot_with(agent)) as phone:
        await phone.text("Bye")
        await phone.quiet()
        assert phone.messages == ["Bye"]
    assert len(script.requests) == 1


async def test_the_model_chooses_silence_from_the_types_it_is_offered() -> None:
    script = Script(calls(tool("final_result_Silence", "c1")))
    agent: Agent[None, Any] = Agent(script.model, output_type=[str, Tapback, Silence])
    async with talking(bot_with(agent)) as phone:
        await phone.text("Bye")
        await phone.quiet()
        assert phone.messages == ["Bye"]


@pytest.mark.slow
async def test_a_list_of_outputs_is_said_in_its_order_and_once_wherever_the_bot_is_killed() -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return calls(tool("final_result", "c1", response=EVERYTHING))

    agent: Agent[None, Any] = Agent(
        FunctionModel(respond), output_type=list[Say | Tapback | Poll | Media], instructions=f"Our room: {PHOTO}"
    )
    points = 0
    async for phone in killed_between_calls(bot_with(agent), lambda phone: phone.text("I got the job!")):
        points += 1
        assert_is_said_once(phone)
    assert points > 10


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"name": "shrug"}, {"name": "like"}),
        ({"text": " "}, {"text": "Hi"}),
        ({"text": "Hi", "effect": "explosion"}, {"text": "Hi", "effect": "slam"}),
        ({"options": ["Only one"]}, {"options": ["One", "Two"]}),
        ({"url": "/etc/passwd"}, {"url": PHOTO}),
        ({"url": "http://photos.example.com/room.jpg"}, {"url": PHOTO}),
        ({"url": "https://evil.example.com/?secret=4711"}, {"url": PHOTO}),
        # Other forms of an address that was shown.
        ({"url": PHOTO.replace("https://", "https://:4711@")}, {"url": PHOTO}),
        ({"url": PHOTO.replace("m", "%6d")}, {"url": PHOTO}),
        ({"url": f"{PHOTO}!;.!"}, {"url": PHOTO}),
        ({"url": f"{PHOTO}///"}, {"url": PHOTO}),
    ],
)
async def test_the_model_is_asked_again_about_what_it_made_up(wrong: object, right: object) -> None:
    script = Script(
        calls(tool("final_result", "c1", response=[wrong])), calls(tool("final_result", "c2", response=[right]))
    )
    agent: Agent[None, Any] = Agent(script.model, output_type=list[Say | Tapback | Poll | Media])
    async with talking(bot_with(agent)) as phone:
        await phone.text(f"Here: {PHOTO}")
        await phone.quiet()
        assert await phone.errors() == []
        assert len(phone.messages) == 1 + ("name" not in right)  # type: ignore[operator]
    (refusal,) = script.requests[1][-1].parts
    assert isinstance(refusal, ToolReturnPart)
    assert refusal.outcome != "success"


async def test_the_report_of_an_error_does_not_make_an_address_known() -> None:
    evil = "https://evil.example.com/?secret=4711"
    script = Script(calls(tool("final_result", "c1", url=evil, unknown=1)), calls(tool("final_result", "c2", url=evil)))
    async with talking(bot_with(Agent(script.model, output_type=Media, retries=1))) as phone:
        await phone.text("Hi")
        await phone.quiet()
        assert not any(message.media for message in phone.messages)


async def test_an_output_function_sends_a_file_at_an_address_of_its_own_and_none_that_the_model_made_up() -> None:
    evil = 'https://evil.example.com/?secret="4711"'
    rooms = {"sea": PHOTO}

    def photo(place: str) -> Media:
        """Send a photo of a room, or of another place."""
        return Media(url=rooms.get(place, place))

    script = Script(calls(tool("final_result", "c1", place=evil)), calls(tool("final_result", "c2", place="sea")))
    async with talking(bot_with(Agent(script.model, output_type=photo))) as phone:
        (reply,) = await answers(phone, "Show me the room")
        assert [part.url for part in reply.media] == [PHOTO]


async def test_an_address_that_a_tool_has_repeated_cannot_be_sent() -> None:
    evil = "https://evil.example.com/?secret=4711"
    send, with_row = (calls(tool("final_result", "c2", url=url)) for url in (evil, f"{evil},0"))
    script = Script(calls(tool("look_up", "c1", url=evil)), send, says("None."), with_row, says("None."))
    agent: Agent[None, Any] = Agent(script.model, output_type=[str, Media])

    @agent.tool_plain
    def look_up(url: str) -> str:
        return f"There is no photo at {url}\nphotos: {url},0"

    async with talking(bot_with(agent)) as phone:
        for _ in range(2):  # the call is also one of the past
            assert await answers(phone, "Show me the room") == ["None."]


@pytest.mark.parametrize(
    "found",
    [
        {"url": PHOTO},
        {"text": f"See {PHOTO}\nBye"},
        f'{{"text": "See {PHOTO}\\nBye"}}',
        f"sea,https://photos.example.com/sea.jpg,{PHOTO},5",
        f"[![sea](https://photos.example.com/sea.jpg)]({PHOTO})",
        f"<img src='{PHOTO}'/>",
    ],
)
async def test_an_address_that_a_tool_returned_can_be_sent(found: object) -> None:
    script = Script(calls(tool("find_photo", "c1")), calls(tool("final_result", "c2", url=PHOTO)))
    agent = Agent(script.model, output_type=Media, tools=[fixed("find_photo", found)])
    async with talking(bot_with(agent)) as phone:
        (photo,) = await answers(phone, "Show me the room")
        assert [part.url for part in photo.media] == [PHOTO]


async def test_what_cannot_be_sent_is_left_out_and_the_rest_is_said() -> None:
    script = Script(calls(tool("final_result", "c1", response=[{"name": "like"}, {"url": PHOTO}, {"text": "Done."}])))
    agent: Agent[None, Any] = Agent(
        script.model, output_type=list[Say | Tapback | Media], instructions=f"Our room: {PHOTO}"
    )
    async with talking(bot_with(agent)) as phone:
        phone.fail_next("messages.add_reaction", status=400, code=1005)
        phone.fail_next("chats.messages.send", status=400, code=1005)
        assert await answers(phone, "Hi") == ["Done."]
        assert await phone.errors() == []


@pytest.mark.parametrize(("status", "code"), [(401, 2004), (403, 2027), (503, 3006)])
async def test_what_linq_cannot_take_now_is_said_later_and_not_left_out(status: int, code: int) -> None:
    script = Script(calls(tool("final_result", "c1", response=[{"name": "like"}, {"url": PHOTO}])))
    agent: Agent[None, Any] = Agent(script.model, output_type=list[Tapback | Media], instructions=f"Our room: {PHOTO}")
    async with talking(bot_with(agent)) as phone:
        phone.fail_next("messages.add_reaction", status=status, code=code)
        phone.fail_next("chats.messages.send", status=status, code=code)
        hello = await phone.text("Hi")
        await phone.advance(600)
        (photo,) = await phone.replies()
        assert [part.url for part in photo.media] == [PHOTO]
        assert [str(each) for each in hello.tapbacks] == ["like"]
    assert len(script.requests) == 1


async def test_a_tapback_after_an_approval_is_for_the_message_that_asked() -> None:
    script = Script(calls(tool("book", "c1")), calls(TAP_LOVE))
    book = fixed("book", "booked", requires_approval=True)
    agent: Agent[None, Any] = Agent(script.model, output_type=[str, Tapback], tools=[book])
    async with talking(bot_with(agent)) as phone:
        wish = await phone.text("Book it")
        await phone.next_reply()
        await phone.text("yes")
        assert (await phone.next_tapback()).on == wish


async def test_in_a_group_only_the_first_message_is_the_threaded_reply() -> None:
    script = Script(calls(tool("final_result", "c1", response=[{"text": "One."}, {"text": "Two."}])))
    agent: Agent[None, Any] = Agent(script.model, output_type=list[Say])
    async with talking(bot_with(agent)) as phone:
        group = phone.group("+14155550143")
        one, two = await answers(group, "Hi")
        assert one.thread is not None
        assert two.thread is None


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_model_writes_is_said_without_unseen_characters(stream: bool) -> None:
    family, flag = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f3f4\U000e0067\U000e0062\U000e007f"
    text = f"Pay\x1b[31m\x07 \u202eten\u202c\u2066\r\n- to\tAnn {family} {flag}"
    clean = f"Pay[31m ten\n- to\tAnn {family} {flag}"

    async def write(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for piece in text.partition("\r\n"):
            yield piece

    agent = Agent(FunctionModel(lambda messages, info: says(text), stream_function=write))
    async with talking(bot_with(agent, stream=stream)) as phone:
        assert "\n".join(await answers(phone, "How much?")) == clean.replace("- ", "• ")
    assert (Say(text).text, Poll((text, "no")).options[0]) == (clean, clean)
    agent = Agent(FunctionModel(lambda messages, info: says("\x1b\u202e")))
    async with talking(bot_with(agent)) as phone:
        assert await answers(phone, "Anything?") == []
