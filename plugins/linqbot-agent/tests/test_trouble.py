"""An agent that cannot answer: the person hears of it, or the message waits until the model is back."""

from __future__ import annotations

from itertools import count
from typing import Any

import httpx
import pytest
from answers import answers
from fake_provider import Asked, Raw, Reply
from frameworks import Call
from linqbot_agent import LinqAgent, idempotency_key, run
from linqbot_agent.run import MOST_REQUESTS
from one_handler import bot_of, does
from pydantic_ai import Agent
from pydantic_ai.capabilities import ModelFallback
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from real_clients import Client, asking, each_client  # noqa: F401 - a fixture
from scripted_agents import BotClock, Script, bot_with, calls, says, streamed, tool
from structlog.testing import capture_logs

from linqbot import BotError, Context, Failure, LinqApiError, MessageReceived
from linqbot.testing import talking

SORRY = "Sorry, I cannot answer right now. Please try again in a few minutes."
AWAY = ModelHTTPError(529, "some-model", body={"secret": "overloaded"})


async def test_while_the_model_is_away_each_person_gets_an_apology_an_hour() -> None:
    agent = Agent(Script(*[AWAY] * 6, says("Back again."), AWAY).model)
    async with talking(bot_with(agent)) as phone:
        other = phone.person("+14155550187")
        for writer, wait_s, said in (
            (phone, 0, [SORRY]),
            (phone, 3500, []),
            (other, 0, [SORRY]),
            (phone, 200, [SORRY]),
            (phone, 0, []),
            (phone, 3700, [SORRY]),
            (phone, 0, ["Back again."]),
            (phone, 0, [SORRY]),
        ):
            await phone.advance(wait_s)
            await writer.text("Hello?")
            assert await writer.replies() == said, (wait_s, said)
        assert await phone.errors() == []


async def test_a_deferred_message_is_answered_when_the_model_is_back() -> None:
    failures = [
        ModelHTTPError(429, "some-model", headers={"Retry-After": "120"}),
        ModelHTTPError(503, "some-model"),
        ModelHTTPError(401, "some-model"),
        ModelAPIError("some-model", "Connection error."),
        httpx.ReadError("cut"),
        TimeoutError(),
        ConnectionError(),
    ]
    script = Script(calls(tool("book", "c1")), *failures, says("Booked."))
    agent, booked = Agent(script.model), list[int]()

    @agent.tool_plain
    def book() -> None:
        booked.append(1)

    async with talking(bot_with(agent, LinqAgent(outage="defer"))) as phone:
        await phone.text("A table, please")
        await phone.advance(100)
        assert len(script.requests) == 2
        await phone.advance(1000)
        assert await phone.replies() == ["Booked."]
        assert await phone.errors() == []
    assert len(script.requests) == 2 + len(failures)
    assert booked == [1]


async def test_a_model_that_calls_tools_without_an_end_makes_as_many_requests_with_each_framework(
    client: Client,
) -> None:
    calls = count()

    async def look() -> str:
        """Look."""
        return "free"

    def answer(_: Asked) -> Reply:
        return Reply(calls=[Call("look", f"c{next(calls)}")])

    async with asking(client, answer, [look], LinqAgent(sorry=SORRY, outage="defer")) as (phone, model):
        assert await answers(phone, "Is a table free?") == [SORRY]
        assert len(model.requests) == MOST_REQUESTS
        model.answer = lambda _: Reply(["Fine."])
        assert await answers(phone, "And now?") == ["Fine."]
        assert await phone.errors() == []


OF_NO_API = [
    Raw(b"<html>502 Bad Gateway</html>", kind="text/html"),
    Raw(b"<html>502 Bad Gateway</html>"),
    Raw(b'{"error": {"message": "overloaded", "type": "server_error"}}'),
    Raw(b""),
    Raw(b"null"),
    Raw(b"[]"),
    Raw(b"{}"),
    Raw(b'{"id": "m1", "content": [', is_whole=False),
    Raw(b"data: <html>\n\n", kind="text/event-stream"),
    Raw(b"event: ping\ndata: {}\n\n", kind="text/event-stream"),
]
"""What a gateway answers in place of a provider that is away, with status 200."""


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_no_answer_of_the_providers_api_is_an_outage(
    client: Client, stream: bool, subtests: pytest.Subtests
) -> None:
    plugin = LinqAgent(outage="defer")
    async with asking(client, lambda _: Reply(["Back."]), plugin=plugin, stream=stream) as (ann, model):
        for number, page in enumerate(OF_NO_API):
            with subtests.test(page.body.decode(), kind=page.kind):
                phone, given = ann.person(f"+1415555{number:04}"), iter([page])
                model.answer = lambda _: next(given, Reply(["Back."]))  # noqa: B023 - within this round
                model.requests.clear()
                await phone.text("Hello?")
                await phone.advance(120)
                assert await phone.replies() == ["Back."]
                assert len(model.requests) == 2
        assert await ann.errors() == []
    assert plugin.counts.outages == len(OF_NO_API)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_another_model_has_answered_is_not_asked_again_when_the_first_one_is_back(stream: bool) -> None:
    clock, keys = BotClock(), list[str]()
    first, second = Script(AWAY, says("Booked.")), Script(calls(tool("book", "c1")))
    fallback = ModelFallback(streamed(second, clock))
    agent: Agent[None, str] = Agent(streamed(first, clock), capabilities=[fallback])

    @agent.tool_plain
    def book() -> None:
        keys.append(idempotency_key())
        if len(keys) == 1:
            raise ConnectionError

    async with talking(clock.of(bot_with(agent, stream=stream))) as phone:
        await phone.text("A table, please")
        assert len(await phone.errors()) == 1
        await phone.advance(60)
        assert await phone.replies() == ["Booked."]
    assert (len(keys), len(set(keys))) == (2, 1)
    assert [len(each.requests) for each in (first, second)] == [2, 1]


async def test_a_tool_that_is_not_recorded_is_told_why_it_has_no_key() -> None:
    agent: Agent[None, str] = Agent(Script(calls(tool("visit", "c1")), says("Hello.")).model)
    errors: list[str] = []

    @agent.tool_plain(metadata={"recorded": False})
    def visit() -> None:
        try:
            idempotency_key()
        except BotError as error:
            errors.append(str(error))

    async with talking(bot_with(agent)) as phone:
        await phone.text("Hi")
        assert await phone.replies() == ["Hello."]
    assert "metadata={'recorded': False}" in errors[0]
    with pytest.raises(BotError, match="inside a tool of an agent"):
        idempotency_key()


async def test_what_the_provider_refuses_is_not_deferred() -> None:
    agent = Agent(Script(ModelHTTPError(400, "some-model"), says("Hello.")).model)
    async with talking(bot_with(agent, LinqAgent(outage="defer"))) as phone:
        for said in (SORRY, "Hello."):
            await phone.text("Hello?")
            assert await phone.next_reply() == said


async def test_the_log_names_the_status_and_the_model_and_no_text() -> None:
    with capture_logs() as log:
        async with talking(bot_with(Agent(Script(AWAY, TimeoutError("secret")).model))) as phone:
            for _ in range(2):
                await phone.text("Hello?")
                await phone.quiet()
    lines = [line for line in log if line["event"] == "agent.model_failed"]
    assert [(line["error"], line["status"]) for line in lines] == [("ModelHTTPError", 529), ("TimeoutError", None)]
    assert lines[0]["model"] == "some-model"
    assert lines[1]["model"].startswith("function:")
    assert "secret" not in str(log)


def book() -> None:
    raise ConnectionError


@pytest.mark.parametrize(
    ("settings", "plugin", "said"),
    [
        ({}, {}, [SORRY]),
        ({}, {"sorry": "Oh no."}, ["Oh no."]),
        ({}, {"sorry": None}, []),
        ({"on_trouble": "One moment, please."}, {}, ["One moment, please."]),
        ({"handler": True}, {}, ["My own words."]),
    ],
)
async def test_a_message_that_is_given_up_gets_an_apology(
    settings: dict[str, Any], plugin: dict[str, Any], said: list[str]
) -> None:
    has_handler = settings.pop("handler", False)
    agent = Agent(Script(calls(tool("book", "c1")), says("Booked.")).model, tools=[book])
    bot = bot_of(does(lambda ctx: run(agent, ctx)), attempts=1, plugins=[LinqAgent(**plugin)], **settings)

    if has_handler:

        @bot.on_dead_letter
        async def own(failure: Failure, message: MessageReceived, ctx: Context) -> None:
            await ctx.reply("My own words.")

    async with talking(bot) as phone:
        await phone.text("A table, please")
        assert [type(error) for error in await phone.errors()] == [ConnectionError]
        assert await phone.replies() == said
        assert len(await phone.dead_letters()) == 1


async def test_an_answer_that_was_not_said_does_not_end_the_pause_between_apologies() -> None:
    agent = Agent(Script(AWAY, *[says("Back again.")] * 2, AWAY).model)
    async with talking(bot_of(does(lambda ctx: run(agent, ctx)), attempts=1, plugins=[LinqAgent()])) as phone:
        for is_refused, said in ((False, [SORRY]), (True, []), (False, ["Back again."]), (False, [SORRY])):
            if is_refused:
                phone.fail_next("chats.messages.send", status=400)
            await phone.text("Hello?")
            assert [type(error) for error in await phone.errors()] == [LinqApiError] * is_refused
            assert await phone.replies() == said
