"""The memory of an agent: what was delivered, what its tools did, and what is not kept."""

from __future__ import annotations

import anyio
import pytest
from answers import answers
from linqbot_agent import Budget, LinqAgent, run
from linqbot_agent.files import TRANSCRIPTS, Transcripts
from linqbot_agent.memory import ACTED, SUMMARIES, TALK, TOOL_WORK, WORK_BYTES, Kept, Summaries
from linqbot_agent.plugin import Memory
from one_handler import bot_of, does
from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import BinaryContent, ModelMessage, ModelResponse, SystemPromptPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_core import to_json
from scripted_agents import Script, answering, bot_with, calls, fixed, kinds, says, tool

from linqbot import Bot, Context, Fetched, MessageEdited, MessageReceived, Running
from linqbot.storage.backend import Storage
from linqbot.testing import HandlerFailed, Phone, killed_between_calls, talking


def booking(*later: str) -> tuple[Script, Agent[None, str]]:
    """Return an agent that books a table, and then says texts."""
    script = Script(
        calls(tool("book", "c1", hour=8), narration="I book it."), says("Booked.\n\nSee you!"), *map(says, later)
    )
    agent = Agent(script.model)

    @agent.tool_plain
    def book(hour: int) -> str:
        return f"number 17 at {hour}"

    return script, agent


async def test_the_model_sees_what_was_delivered_and_what_its_tools_did() -> None:
    script, agent = booking("Your number is 17.")
    async with talking(bot_with(agent)) as phone:
        await answers(phone, "A table at 8")
        assert await answers(phone, "My number?") == ["Your number is 17."]
    assert kinds(script.requests[-1]) == [
        "user-prompt: A table at 8",
        "tool-call: book",
        "tool-return: number 17 at 8",
        "text: Booked.",
        "text: See you!",
        "user-prompt: My number?",
    ]


async def test_the_model_sees_messages_of_other_handlers_tapbacks_and_edits() -> None:
    script = Script(says("Fine."))
    bot = Bot(plugins=[LinqAgent()])

    bot.on_message("menu")(does(lambda ctx: ctx.reply("Soup or trout.")))
    async with talking(answering(bot, Agent(script.model))) as phone:
        asked = await phone.text("menu")
        await phone.react(await phone.next_reply(), "love")
        await phone.edit(asked, "the menu please")
        assert await answers(phone, "I take the trout") == ["Fine."]
    assert kinds(script.requests[0]) == [
        "user-prompt: the menu please [edited]",
        "text: Soup or trout.",
        "user-prompt: [They reacted with love to: 'Soup or trout.']",
        "user-prompt: I take the trout",
    ]


async def test_the_model_sees_the_messages_of_a_burst_once() -> None:
    script = Script(says("Welcome."), says("Fine."), says("Yes."))
    bot = Bot(plugins=[LinqAgent(history=2, images=4)], gather_s=2)

    async with talking(answering(bot, Agent(script.model))) as phone:
        await answers(phone, "Hello")
        await phone.media(b"\x89PNG\r\n\x1a\n", "dog.png")
        await phone.text("What is this?")
        assert await answers(phone, "A dog?") == ["Fine."]
    said = kinds(script.requests[-1])
    assert said[:2] == ["user-prompt: Hello", "text: Welcome."]
    assert said[-1] == "user-prompt: What is this?\nA dog? [dog.png]"
    assert sum("dog.png:" in each for each in said) == 1
    assert len(said) == 4


async def test_in_a_group_the_model_knows_who_speaks_and_tools_work_for_one_person() -> None:
    script, agent = booking("Fine.", "Done.")
    async with talking(bot_with(agent)) as ann:
        bob = ann.person("+14155550143")
        group = ann.group(bob)
        await answers(group, "A table at 8")
        await group.by(bob).text("Thanks")
        await group.replies()
        assert kinds(script.requests[-1]) == [
            f"user-prompt: {ann.handle}: A table at 8",
            "text: Booked.",
            "text: See you!",
            f"user-prompt: {bob.handle}: Thanks",
        ]
        await answers(group, "And the number?")
    assert "tool-return: number 17 at 8" in kinds(script.requests[-1])


async def test_the_model_learns_that_it_wrote_first() -> None:
    script = Script(says("One."))
    bot, bob = Bot(plugins=[LinqAgent(history=2)]), "+14155550143"

    bot.on_message("invite")(does(lambda ctx: ctx.bot.send("Come to the party!", to=bob)))
    async with talking(answering(bot, Agent(script.model))) as ann:
        await ann.text("invite")
        await ann.quiet()
        invited = ann.person(bob)
        await invited.text("When?")
        await invited.quiet()
    assert kinds(script.requests[0])[:2] == ["user-prompt: [You wrote first.]", "text: Come to the party!"]


async def test_the_system_prompt_stays_when_there_is_a_history() -> None:
    script = Script(says("One."), says("Two."))
    async with talking(bot_with(Agent(script.model, system_prompt="You are a cook."))) as phone:
        await answers(phone, "Hi")
        await answers(phone, "Hi")
    for request in script.requests:
        assert [
            part.content for message in request for part in message.parts if isinstance(part, SystemPromptPart)
        ] == ["You are a cook."]


async def test_a_prompt_of_the_handler_comes_after_the_message() -> None:
    script = Script(says("Short."))
    async with talking(bot_with(Agent(script.model), prompt="Answer in one word.")) as phone:
        await answers(phone, "Hello")
    assert kinds(script.requests[0]) == ["user-prompt: Hello", "user-prompt: Answer in one word."]


async def kept(phone: Phone) -> list[object]:
    """Return what is kept of a person, without what is empty."""
    found = [
        await phone.state(Kept, name=TALK),
        await phone.state(Kept, name=TOOL_WORK),
        await phone.state(Kept, name=ACTED),
        await phone.state(Summaries, name=SUMMARIES),
        await phone.state(Transcripts, name=TRANSCRIPTS),
    ]
    return [each for each in found if each != type(each)()]


@pytest.mark.parametrize(
    "plugin", [LinqAgent(memory=None), LinqAgent(history=0), LinqAgent(memory="person", history=0)]
)
async def test_without_a_memory_nothing_is_shown_or_kept(plugin: LinqAgent) -> None:
    script, agent = booking("Hello.")
    async with talking(bot_with(agent, plugin)) as phone:
        for text in ("A table at 8", "Hi"):
            await answers(phone, text)
        assert await kept(phone) == []
    assert kinds(script.requests[-1]) == ["user-prompt: Hi"]


@pytest.mark.parametrize("memory", ["chat", "person"])
async def test_nothing_is_kept_of_a_line_with_zero_retention(memory: Memory) -> None:
    async def transcribe(memo: Fetched) -> str:
        return "Hello!"

    script, agent = booking("Who are you?", "One.", "Two.", "Three.", "Hello.")
    summaries = FunctionModel(lambda messages, info: says("A summary."))
    plugin = LinqAgent(memory=memory, history=2, summary_model=summaries, transcribe=transcribe)
    async with talking(bot_with(agent, plugin)) as phone:
        phone.emulator.state.lines[phone.line].zero_retention = True
        await phone.voice_memo(b"caff" + b"\0" * 99)
        await phone.replies()
        for text in ("A table at 8", "Hi", "Hello", "Well?", "Bye"):
            await answers(phone, text)
        assert await kept(phone) == []
    assert not [said for said in kinds(script.requests[-1]) if "Booked" in said or "17" in said]


async def test_the_oldest_results_are_dropped_when_they_are_too_large() -> None:
    turns = 4
    script = Script(*(each for n in range(turns) for each in (calls(tool("read", f"c{n}")), says("Read."))))
    agent = Agent(script.model, tools=[fixed("read", "x" * (WORK_BYTES // 3))])
    async with talking(bot_with(agent)) as phone:
        ids = []
        for _ in range(turns):
            ids.append((await phone.text("Read it")).id)
            await phone.replies()
        assert list((await phone.state(Kept, name=TOOL_WORK)).by_message) == ids[2:]


async def test_results_that_are_too_large_to_keep_are_cut() -> None:
    script = Script(calls(*(tool("read", f"c{n}") for n in range(3))), *[says("Read.")] * 2)
    agent = Agent(script.model, tools=[fixed("read", "x" * 200_000)])
    async with talking(bot_with(agent)) as phone:
        for _ in range(2):
            assert await answers(phone, "Read it") == ["Read."]
    shown = [said for said in kinds(script.requests[-1]) if said.startswith("tool-")]
    assert [said.partition(" x")[0] for said in shown] == ["tool-call: read"] * 3 + ["tool-return:"] * 3
    assert WORK_BYTES / 10 < len(str(shown)) < WORK_BYTES / 4


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["chat", "person"])
async def test_what_tools_did_is_remembered_once_if_the_model_fails_behind_it_wherever_the_bot_is_killed(
    memory: Memory,
) -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        shown.append(kinds(messages))
        if "user-prompt: Again" in shown[-1]:
            return says("Booked.")
        if "tool-return: number 17" in shown[-1]:
            raise ModelHTTPError(529, "model")
        return calls(tool("book", "c1"))

    shown = list[list[str]]()
    agent = Agent(FunctionModel(respond), tools=[fixed("book", "number 17")])

    async def scenario(phone: Phone) -> None:
        await phone.text("A table")
        assert await phone.next_reply() == "Sorry."
        await phone.text("Again")
        await phone.quiet()

    async for phone in killed_between_calls(bot_with(agent, LinqAgent(memory=memory), sorry="Sorry."), scenario):
        assert phone.messages == ["A table", "Sorry.", "Again", "Booked."], phone.killed
        apology = ["text: Sorry."] if memory == "chat" else []
        expected = ["user-prompt: A table", "tool-call: book", "tool-return: number 17", *apology, "user-prompt: Again"]
        assert shown[-1] == expected, phone.killed


@pytest.mark.parametrize("memory", ["chat", "person"])
async def test_what_is_cut_is_still_a_call_with_arguments_and_no_part_of_a_picture(memory: Memory) -> None:
    written = ToolCallPart("write", to_json({"text": "y" * 100_000, "page": 1}).decode(), "c1")
    script = Script(calls(written), calls(tool("look", "c2")), says("Seen."), says("Again."))
    agent = Agent(script.model, tools=[fixed("look", BinaryContent(bytes(100_000), media_type="image/png"))])

    @agent.tool_plain
    def write(text: str, page: int) -> str:
        return f"page {page}"

    async with talking(bot_with(agent, LinqAgent(memory=memory))) as phone:
        assert await answers(phone, "Look at it") == ["Seen."]
        assert await answers(phone, "And?") == ["Again."]
    parts = [part for message in script.requests[-1] for part in message.parts]
    call = next(part for part in parts if isinstance(part, ToolCallPart))
    assert call.args_as_dict().keys() == {"text", "page"}
    assert "tool-return: [image/png]" in kinds(script.requests[-1])


@pytest.mark.parametrize("in_one", [True, False])
async def test_what_tools_did_before_a_question_that_nobody_has_answered_is_remembered(in_one: bool) -> None:
    book, pay = tool("book", "c1"), tool("pay", "c2")
    script = Script(*([calls(book, pay)] if in_one else [calls(book), calls(pay)]), says("It is booked."))
    agent = Agent(script.model, tools=[fixed("book", "number 17"), fixed("pay", "paid", requires_approval=True)])
    async with talking(bot_with(agent)) as phone:
        await answers(phone, "A table")
        await phone.advance(2 * 86_400)
        assert await answers(phone, "A table") == ["It is booked."]
    assert kinds(script.requests[-1])[:3] == ["user-prompt: A table", "tool-call: book", "tool-return: number 17"]


@pytest.mark.parametrize(("memory", "in_one"), [("chat", True), ("person", False)])
async def test_what_tools_did_in_a_turn_that_was_given_up_is_remembered_and_the_turn_goes_on_when_it_is_put_back(
    memory: Memory, in_one: bool
) -> None:
    acted, is_broken, storages = list[str](), True, list[Storage]()
    first = tool("book", "c1"), tool("pay", "c2")
    script = Script(
        *([calls(*first)] if in_one else map(calls, first)), says("It is booked."), says("It is paid."), says("Yes.")
    )
    agent = Agent(script.model)

    @agent.tool_plain
    def book() -> str:
        acted.append("book")
        return "number 17"

    @agent.tool_plain
    def pay() -> None:
        if is_broken:
            raise OSError
        acted.append("pay")

    bot = bot_with(agent, LinqAgent(memory=memory, sorry="Sorry.", budget=Budget(requests=100)))

    @bot.on_start
    async def started(running: Running) -> None:
        storages.append(running.storage)

    async with talking(bot) as phone:
        await phone.text("A table")
        with pytest.raises(HandlerFailed, match="4 more failed"):
            await phone.advance(300)
        assert await phone.replies() == ["Sorry."]
        assert await answers(phone, "Again") == ["It is booked."]
        shown = [each for each in kinds(script.requests[-1]) if each != "text: Sorry."]
        assert shown == ["user-prompt: A table", "tool-call: book", "tool-return: number 17", "user-prompt: Again"]
        is_broken = False
        await storages[0].retry([letter.delivery.id for letter in await phone.dead_letters()])
        assert await phone.replies() == ["It is paid."]
        assert acted == ["book", "pay"]
        await answers(phone, "Paid?")
    assert kinds(script.requests[-1]).count("tool-call: book") == 1


@pytest.mark.parametrize("memory", ["chat", "person"])
async def test_what_a_tool_makes_another_tool_do_is_remembered_also_if_it_fails_itself_and_else_as_a_part_of_its_result(
    memory: Memory,
) -> None:
    first, second = (calls(tool("book", call_id)) for call_id in ("c1", "c3"))
    script = Script(first, says("It is paid."), second, says("Booked."), says("Yes."))
    agent, is_broken = Agent(script.model, tools=[fixed("pay", "paid")]), True

    @agent.tool
    async def book(run: RunContext[object]) -> str:
        assert run.tool_manager is not None
        paid = await run.tool_manager.handle_call(tool("pay", "c2" if is_broken else "c4"))
        if is_broken:
            raise OSError
        return f"number 17, {paid}"

    bot = bot_of(does(lambda ctx: run(agent, ctx)), plugins=[LinqAgent(memory=memory, sorry=None)], attempts=2)
    async with talking(bot) as phone:
        await phone.text("A table")
        with pytest.raises(HandlerFailed, match="1 more failed"):
            await phone.advance(300)
        assert await answers(phone, "Paid?") == ["It is paid."]
        assert kinds(script.requests[-1])[:3] == ["user-prompt: A table", "tool-call: pay", "tool-return: paid"]
        is_broken = False
        assert await answers(phone, "Another table") == ["Booked."]
        assert await answers(phone, "Booked?") == ["Yes."]
    assert kinds(script.requests[-1])[-5:-1] == [
        "user-prompt: Another table", "tool-call: book", "tool-return: number 17, paid", "text: Booked."
    ]  # fmt: skip


async def test_with_the_memory_of_a_person_what_tools_did_for_an_edit_stands_behind_the_new_text() -> None:
    script = Script(says("Hello."), says("Fine."), calls(tool("book", "c1")), says("Booked."), says("Yes."))
    agent = Agent(script.model, tools=[fixed("book", "number 17")])
    bot = Bot(plugins=[LinqAgent(memory="person")])

    @bot.on_edit
    async def edited(message: MessageEdited, ctx: Context) -> None:
        await run(agent, ctx)

    async with talking(answering(bot, agent)) as phone:
        wrote = await phone.text("Hi")
        assert await answers(phone, "How are you?") == ["Hello.", "Fine."]
        await phone.edit(wrote, "A table")
        assert await answers(phone, "Booked?") == ["Booked.", "Yes."]
    assert kinds(script.requests[2]) == [
        "user-prompt: A table [edited]",
        "text: Hello.",
        "user-prompt: How are you?",
        "text: Fine.",
        "user-prompt: [The person has edited a message. It says now: A table]",
    ]
    assert kinds(script.requests[-1])[4:] == [
        "user-prompt: [The person has edited a message. It says now: A table]",
        "tool-call: book",
        "tool-return: number 17",
        "text: Booked.",
        "user-prompt: Booked?",
    ]


async def test_with_the_memory_of_a_person_what_was_dropped_does_not_come_back_without_its_answer() -> None:
    long = "\n\n".join(["y" * 9000] * 9)
    script = Script(calls(tool("book", "c1")), says("Booked."), says(long), says(long), says("Yes."))
    agent = Agent(script.model, tools=[fixed("book", "number 17")])
    async with talking(bot_with(agent, LinqAgent(memory="person"))) as phone:
        for text in ("A table", "Tell me all", "Tell me more", "Booked?"):
            await answers(phone, text)
    assert [each[:25] for each in kinds(script.requests[-1])] == [
        "user-prompt: Tell me more",
        f"text: {long}"[:25],
        "user-prompt: Booked?",
    ]


async def test_with_the_memory_of_a_person_the_prompt_stays_when_a_tool_with_another_one_inside_ends_last() -> None:
    both = calls(tool("book", "c1"), tool("look", "c3"))
    script = Script(says("Hello."), both, calls(tool("fail", "c4")), says("Yes."))
    agent, is_paid, has_looked = Agent(script.model, tools=[fixed("pay", "paid")]), anyio.Event(), anyio.Event()

    @agent.tool
    async def book(run: RunContext[object]) -> str:
        assert run.tool_manager is not None
        await run.tool_manager.handle_call(tool("pay", "c2"))
        is_paid.set()
        await has_looked.wait()
        await anyio.wait_all_tasks_blocked()
        return "number 17"

    @agent.tool_plain
    async def look() -> str:
        await is_paid.wait()
        has_looked.set()
        return "free"

    @agent.tool_plain
    def fail() -> None:
        raise OSError

    bot = bot_of(does(lambda ctx: run(agent, ctx)), plugins=[LinqAgent(memory="person", sorry=None)], attempts=1)
    async with talking(bot) as phone:
        assert await answers(phone, "Hi") == ["Hello."]
        await phone.text("A table")
        assert len(await phone.errors()) == 1
        assert await answers(phone, "Booked?") == ["Yes."]
    assert kinds(script.requests[-1]) == [
        "user-prompt: Hi",
        "text: Hello.",
        "user-prompt: A table",
        "tool-call: look",
        "tool-return: free",
        "tool-call: book",
        "tool-return: number 17",
        "user-prompt: Booked?",
    ]


async def test_a_call_with_very_many_arguments_keeps_no_message_from_an_answer_and_what_it_did_inside_is_remembered() -> (
    None
):
    written = calls(tool("write", "c1", texts=["y" * 90] * 1000))
    script = Script(written, says("Written."), written, says("Paid."), says("Yes."))
    agent = Agent(script.model, tools=[fixed("pay", "paid")])

    @agent.tool
    async def write(run: RunContext[object], texts: list[str]) -> str:
        assert run.tool_manager is not None
        if len(script.requests) > 1:
            await run.tool_manager.handle_call(tool("pay", "p1"))
        return "written"

    async with talking(bot_with(agent)) as phone:
        for text, said in (("Write", "Written."), ("Pay for it", "Paid."), ("Paid?", "Yes.")):
            assert await answers(phone, text) == [said]
    assert [each for each in kinds(script.requests[-1]) if each.startswith("tool-")] == [
        "tool-call: pay",
        "tool-return: paid",
    ]


def test_the_time_of_what_was_dropped_is_that_of_the_newest_one() -> None:
    # The answer of "later" was on record before its turn was interrupted, and was stored after that of "before".
    times = {"none": [], "before": ["2"], "later": ["1"], "last": ["3"]}
    kept = Kept()
    for key, each in times.items():
        kept.put(key, [{"parts": [{"timestamp": time}]} for time in each], WORK_BYTES, 1)
    assert (kept.dropped, list(kept.by_message)) == ("2", ["last"])


async def test_with_the_memory_of_a_person_tools_of_an_earlier_run_of_a_turn_come_before_the_answer_of_the_last_one() -> (
    None
):
    script = Script(calls(tool("book", "c1")), says("One."), calls(tool("pay", "c2")), says("Two."), says("Yes."))
    agent = Agent(script.model, tools=[fixed("book", "number 17"), fixed("pay", "paid")])
    bot = Bot(plugins=[LinqAgent(memory="person")])

    @bot.on_message("a table")
    async def twice(message: MessageReceived, ctx: Context) -> None:
        await run(agent, ctx)
        await run(agent, ctx, "Go on")

    async with talking(answering(bot, agent)) as phone:
        assert await answers(phone, "A table") == ["One.", "Two."]
        assert await answers(phone, "Paid?") == ["Yes."]
    assert kinds(script.requests[-1]) == [
        "user-prompt: A table",
        "tool-call: book",
        "tool-return: number 17",
        "tool-call: pay",
        "tool-return: paid",
        "text: Two.",
        "user-prompt: Paid?",
    ]
