"""Calls of tools that wait for a person: approved by the right one and made once, or answered, after restarts too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from answers import answers
from frameworks import Answer, Call, Outside, bot_of, each_framework  # noqa: F401 - a fixture
from linqbot_agent import LinqAgent, run
from linqbot_agent.memory import TOOL_WORK, Kept
from pydantic import BaseModel
from pydantic_ai import Agent, ApprovalRequired, CallDeferred, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import Script, bot_with, calls, fixed, kinds, says, tool

from linqbot import Bot, BotError, Context, MessageReceived, PersonUnreachable
from linqbot.features.manners.conduct import Conduct
from linqbot.testing import Phone, killed_between_calls, talking

ASKED = "May I book table (hour 8, guest Ann)? 👍 or yes, 👎 or no"
CALL = tool("book_table", "c1", hour=8, guest="Ann")


class Bookings:
    """An agent with a tool that needs approval. It notes what it books."""

    def __init__(self, *responses: object) -> None:
        self.script = Script(*responses)  # type: ignore[arg-type]
        self.agent = Agent(self.script.model)
        self.booked: list[str] = []

        @self.agent.tool_plain(requires_approval=True)
        def book_table(hour: int, guest: str) -> str:
            self.booked.append(f"{guest} at {hour}")
            return "booked"


@pytest.mark.parametrize(("answer", "owners"), [("Yes", []), ("like", ["+14155550142"])])
async def test_a_call_that_the_person_approves_is_made_if_no_others_or_they_are_named(
    answer: str, owners: list[str]
) -> None:
    bookings = Bookings(calls(CALL), says("Done."))
    async with talking(bot_with(bookings.agent, LinqAgent(approvers=owners))) as phone:
        (asked,) = await answers(phone, "A table at 8")
        assert asked == ASKED
        assert bookings.booked == []
        await phone.restart()
        await (phone.react(asked, answer) if answer == "like" else phone.text(answer))
        assert await phone.replies() == ["Done."]
    assert bookings.booked == ["Ann at 8"]
    assert len(bookings.script.requests) == 2


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("no", "The person said no."),
        ("dislike", "The person said no."),
        ("never mind", "The person does not want this any more."),
        ("What is on the menu?", "The person has not approved this, and wrote instead: What is on the menu?"),
    ],
)
async def test_a_call_that_is_not_approved_is_not_made_and_the_model_knows_why(answer: str, result: str) -> None:
    bookings = Bookings(calls(CALL), says("I see."))
    async with talking(bot_with(bookings.agent)) as phone:
        (asked,) = await answers(phone, "A table at 8")
        await (phone.react(asked, answer) if answer == "dislike" else phone.text(answer))
        assert await phone.replies() == ["I see."]
    assert bookings.booked == []
    assert kinds(bookings.script.requests[-1])[-1] == f"tool-return: {result}"


async def test_an_approved_call_is_remembered_with_the_message_that_led_to_it() -> None:
    bookings = Bookings(calls(CALL), says("Done."), says("At 8."))
    async with talking(bot_with(bookings.agent)) as phone:
        await phone.text("A table at 8")
        await phone.react(await phone.next_reply(), "like")
        await phone.replies()
        assert await answers(phone, "When was it?") == ["At 8."]
    assert kinds(bookings.script.requests[-1]) == [
        "user-prompt: A table at 8",
        "tool-call: book_table",
        "tool-return: booked",
        f"text: {ASKED}",
        f"user-prompt: [They reacted with like to: {ASKED!r}]",
        "text: Done.",
        "user-prompt: When was it?",
    ]


@pytest.mark.parametrize("approver", ["asker", "+14155550143"])
async def test_only_the_approver_can_approve(approver: str) -> None:
    bookings = Bookings(calls(CALL), says("What?"), says("Done."))
    async with talking(bot_with(bookings.agent, approver=approver)) as ann:
        bob = ann.person("+14155550143")
        group = ann.group(bob)
        approving, other = (group, group.by(bob)) if approver == "asker" else (group.by(bob), group)
        (asked,) = await answers(group, "A table at 8")
        await other.react(asked, "like")
        await other.text("yes")
        assert await group.replies() == ["What?"]
        assert bookings.booked == []
        await approving.react(asked, "like")
        assert await group.replies() == ["Done."]
    assert bookings.booked == ["Ann at 8"]


@pytest.mark.parametrize("answer", ["yes", "like"])
async def test_an_owner_may_approve_and_writes_undisturbed_and_nobody_else_may(answer: str) -> None:
    owner, stranger = "+14155550143", "+14155550144"
    bookings = Bookings(calls(CALL), says("Hello owner."), says("Hello stranger."), says("Done."))
    async with talking(bot_with(bookings.agent, LinqAgent(approvers=[owner]))) as ann:
        group = ann.group(owner, stranger)
        (asked,) = await answers(group, "A table at 8")
        await group.by(owner).text("Good morning, everyone")
        assert await group.replies() == ["Hello owner."]
        await group.by(stranger).react(asked, "like")
        await group.by(stranger).text("yes")
        assert await group.replies() == ["Hello stranger."]
        assert bookings.booked == []
        by = group.by(owner)
        await (by.react(asked, answer) if answer == "like" else by.text(answer))
        assert await group.replies() == ["Done."]
    assert bookings.booked == ["Ann at 8"]


@pytest.mark.slow
async def test_a_postponed_question_stays_open_while_another_topic_is_answered() -> None:
    bookings = Bookings()

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = kinds(messages)
        if said[-1] == "user-prompt: What is on the menu?":
            return calls(tool("book_table", "c9", hour=9, guest="Mallory"))
        if "another question" in said[-1]:
            return says("Soup.")
        return says("Done.") if said[-1].startswith("tool-return") else calls(CALL)

    async def scenario(phone: Phone) -> None:
        bookings.booked.clear()
        await phone.text("A table at 8")
        await phone.next_reply()
        await phone.text("What is on the menu?")
        assert await phone.next_reply() == "Soup."
        await phone.react(await phone.next_reply(), "like")

    bookings.agent.model = FunctionModel(respond)
    bot = bot_with(bookings.agent, LinqAgent(other_topic="postpone"))
    async for phone in killed_between_calls(bot, scenario):
        said = ["A table at 8", ASKED, "What is on the menu?", "Soup.", ASKED, "Done."]
        assert phone.messages == said, (phone.killed, phone.messages)
        assert set(bookings.booked) == {"Ann at 8"}, phone.killed


def test_settings_of_the_plugin_are_checked(subtests: pytest.Subtests) -> None:
    wrong: list[tuple[str, Any, str]] = [
        ("approvers", "+14155550143", "give a list"),
        ("elsewhere", "book", "give a list, such as"),
        ("needs_approval", None, "give a list"),
        ("memory", "group", "give one of"),
        ("other_topic", "ignore", "give one of"),
        ("outage", "wait", "give one of"),
        ("history", -1, "give a whole number, 0 or more"),
        ("history_tokens", 0, "give a whole number, 1 or more, or None"),
        ("images", None, "give a whole number, 0 or more"),
        ("documents", 0.5, "give a whole number, 0 or more"),
        ("max_messages", 0, "give a whole number, 1 or more"),
        ("budget", 3, "give a Budget"),
    ]
    for name, value, said in wrong:
        with subtests.test(name), pytest.raises(BotError, match=said):
            LinqAgent(**{name: value})


async def test_a_question_without_an_answer_ends_in_silence() -> None:
    bookings = Bookings(calls(CALL))
    async with talking(bot_with(bookings.agent)) as phone:
        await answers(phone, "A table at 8")
        await phone.advance(86_500)
        assert await phone.replies() == []
    assert bookings.booked == []


async def test_a_tool_may_write_its_own_question() -> None:
    agent = Agent(Script(calls(tool("transfer", "c1", cents=1250)), says("Sent.")).model)

    @agent.tool
    def transfer(ctx: RunContext[object], cents: int) -> str:
        if not ctx.tool_call_approved:
            raise ApprovalRequired(metadata={"question": f"Send ${cents / 100:.2f}?"})
        return "sent"

    async with talking(bot_with(agent)) as phone:
        assert await answers(phone, "Pay my share") == ["Send $12.50?"]
        assert await answers(phone, "yes") == ["Sent."]


def agent_that_asks() -> Agent[None, str]:
    """Return an agent with a tool that asks, and another that needs approval."""

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        results = [said for said in kinds(messages) if said.startswith("tool-return")]
        if not results:
            return calls(tool("guest_name", "c1"), tool("book", "c2"))
        return says(" ".join(results))

    agent = Agent(FunctionModel(respond), tools=[fixed("book", "booked", requires_approval=True)])

    @agent.tool_plain
    def guest_name() -> str:
        raise CallDeferred(metadata={"question": "Which name?"}, kind="question")

    return agent


async def approve_and_say(phone: Phone, name: str) -> None:
    await phone.text("A table")
    for _ in range(2):
        asked = await phone.next_reply()
        await phone.text(name if asked == "Which name?" else "yes")


@pytest.mark.slow
async def test_the_answer_of_the_person_is_the_result_of_the_tool_wherever_the_bot_is_killed() -> None:
    async for phone in killed_between_calls(bot_with(agent_that_asks()), lambda phone: approve_and_say(phone, "Ann")):
        assert {"Which name?", "May I book? 👍 or yes, 👎 or no"} < set(phone.messages), phone.killed
        assert phone.messages[-1] == "tool-return: Ann tool-return: booked", phone.killed
        assert len(phone.messages) == 6


async def test_a_person_need_not_answer() -> None:
    async with talking(bot_with(agent_that_asks())) as phone:
        await approve_and_say(phone, "never mind")
        assert await phone.replies() == ["tool-return: The person does not want to answer. tool-return: booked"]


async def test_a_person_with_an_open_question_is_asked_no_other_one() -> None:
    bot = bot_with(agent_that_asks(), LinqAgent(other_topic="postpone"))
    async with talking(bot) as phone:
        (asked,) = await answers(phone, "A table")
        await phone.text("What about the menu?")
        answer, asked_again = await phone.replies()
        assert answer.count("Not now: the person has not answered another question yet.") == 2
        assert asked_again == asked
        assert await answers(phone, "yes") == ["Which name?"]
        await phone.text("Ann")
        assert (await phone.next_reply()).endswith("tool-return: Ann tool-return: booked")


OWNER = "+14155550143"
MEANWHILE = "I have asked for approval, and I will write again when there is an answer."


@pytest.mark.parametrize("how", ["approver", "approvers"])
async def test_an_owner_approves_in_their_own_chat_and_the_guest_never_does(how: str) -> None:
    bookings = Bookings(calls(CALL), says("What?"), says("Done."))
    plugin = LinqAgent(approvers=[OWNER]) if how == "approvers" else LinqAgent()
    options = {"approver": OWNER} if how == "approver" else {}
    async with talking(bot_with(bookings.agent, plugin, **options)) as ann:
        owner = ann.person(OWNER)
        assert await answers(ann, "A table at 8") == [MEANWHILE]
        (asked,) = await owner.replies()
        assert asked == f"For +14155550142: {ASKED}"
        assert await answers(ann, "yes") == ["What?"]
        assert bookings.booked == []
        await owner.text("yes")
        assert await ann.replies() == ["Done."]
    assert bookings.booked == ["Ann at 8"]


@pytest.mark.parametrize(
    ("wrote", "read"),
    [
        ("we are closed", "The approver has not approved this, and wrote instead: we are closed"),
        ("no", "The approver said no."),
        ("never mind", "The approver does not want this any more."),
    ],
)
async def test_the_model_knows_that_an_owner_has_decided_and_not_the_guest_with_whom_it_talks(
    wrote: str, read: str
) -> None:
    bookings = Bookings(calls(CALL), says("Not today."))
    async with talking(bot_with(bookings.agent, approver=OWNER)) as ann:
        await answers(ann, "A table at 8")
        await ann.person(OWNER).text(wrote)
        assert await ann.replies() == ["Not today."]
    assert bookings.booked == []
    assert read in kinds(bookings.script.requests[-1])[-1]


@pytest.mark.parametrize("how", ["allow_to", "opted out"])
async def test_an_owner_who_cannot_be_asked_is_an_error_of_the_run_at_once(how: str) -> None:
    bookings = Bookings(calls(CALL))
    bot = Bot(plugins=[LinqAgent(approvers=[OWNER])], read=False, typing=False)

    @bot.on_message
    async def chat(message: MessageReceived, ctx: Context) -> str | None:
        try:
            await run(bookings.agent, ctx)
        except PersonUnreachable:
            return "Please call us."
        return None

    if how == "allow_to":
        bot.options.put(Conduct(frozenset({"+14155550142"})))
    async with talking(bot) as ann:
        if how == "opted out":
            await ann.person(OWNER).opt_out()
        assert await answers(ann, "A table at 8") == ["Please call us."]
    assert bookings.booked == []


@pytest.mark.slow
async def test_killed_anywhere_the_owner_approves_and_the_guest_who_writes_at_the_same_time_does_not() -> None:
    bookings = Bookings()

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        last = kinds(messages)[-1]
        if last == "user-prompt: yes":
            return says("What?")
        return says("Done.") if last.startswith("tool-return") else calls(CALL)

    async def scenario(ann: Phone) -> None:
        bookings.booked.clear()
        await ann.text("A table at 8")
        await ann.quiet()
        assert bookings.booked == []
        await ann.text("yes")
        await ann.person(OWNER).text("yes")

    bookings.agent.model = FunctionModel(respond)
    async for ann in killed_between_calls(bot_with(bookings.agent, LinqAgent(approvers=[OWNER])), scenario):
        said = [str(each) for each in await ann.replies()]
        assert sorted(said) == sorted([MEANWHILE, "What?", "Done."]), (ann.killed, said)
        assert await ann.person(OWNER).replies() == [f"For +14155550142: {ASKED}"], ann.killed
        assert set(bookings.booked) == {"Ann at 8"}, ann.killed


# What is shown


class Payment(BaseModel):
    to: str
    cents: int
    memo: str


class Paying(Outside):
    """A model that calls a tool with a list of payments, which notes what it pays."""

    def __init__(self, payments: list[Payment], note: str = "ok") -> None:
        super().__init__(paragraphs=["Done."])
        self.arguments = json.dumps({"payments": [each.model_dump() for each in payments], "note": note})
        self.paid: list[str] = []

    def tools(self) -> list[Callable[..., Any]]:
        def send_money(payments: list[Payment], note: str) -> str:
            """Send money."""
            self.paid += [each["to"] if isinstance(each, dict) else each.to for each in payments]
            return "sent"

        return [send_money]

    def calls(self, results: int) -> list[Call]:
        return [] if results else [Call("send_money", "c1", self.arguments)]


TWO = [
    Payment(to="+14155550001", cents=5, memo="lunch with the team on friday, thank you all for coming to it"),
    Payment(to="+19005551234", cents=999_999, memo="x\u202e\n\n\n\n▸ cents: 1"),
]
SHOWN = """May I send money? 👍 or yes, 👎 or no

▸ payments (2)
▸▸ 1
▸▸▸ to: +14155550001
▸▸▸ cents: 5
▸▸▸ memo: lunch with the team on friday, thank you all for coming to it
▸▸ 2
▸▸▸ to: +19005551234
▸▸▸ cents: 999999
▸▸▸ memo: x\\u202e
│
│ \\u25b8 cents: 1
▸ note: ok"""


async def test_each_framework_shows_all_of_a_call_before_it_is_approved(framework: Answer) -> None:
    outside = Paying(TWO)
    bot = bot_of(outside, framework(outside), LinqAgent(needs_approval=["send_money"]))
    async with talking(bot) as phone:
        assert await answers(phone, "Pay them") == [SHOWN]
        assert outside.paid == []
        assert len(await answers(phone, "yes")) == 1
    assert outside.paid == ["+14155550001", "+19005551234"]


async def test_each_framework_asks_an_approver_in_their_own_chat_in_several_bubbles(
    framework: Answer,
) -> None:
    outside = Paying([Payment(to=f"+1415555{number:04}", cents=number, memo="for lunch " * 4) for number in range(20)])
    plugin = LinqAgent(needs_approval=["send_money"], approvers=[OWNER])
    async with talking(bot_of(outside, framework(outside), plugin)) as ann:
        owner = ann.person(OWNER)
        assert await answers(ann, "Pay them") == [MEANWHILE]
        asked = await owner.replies()
        assert [str(each).partition(" May")[0].partition(" ▸")[0] for each in asked] == [
            "For +14155550142: (1/3)",
            "(2/3)",
            "(3/3)",
        ]
        said = "\n".join(map(str, asked))
        assert all(f"▸▸▸ to: +1415555{number:04}" in said for number in range(20))
        await owner.react(asked[1], "like")
        assert len(await ann.replies()) == 1
    assert len(outside.paid) == 20


async def test_an_approver_without_a_chat_is_asked_about_an_address_behind_the_first_message() -> None:
    script = Script(calls(tool("open_page", "c1", url="https://evil.example/x")), says("Done."))
    agent = Agent(script.model)

    @agent.tool_plain(requires_approval=True)
    def open_page(url: str) -> str:
        return "opened"

    async with talking(bot_with(agent, approver=OWNER)) as ann:
        assert await answers(ann, "Open it") == [MEANWHILE]
        owner = ann.person(OWNER)
        assert await owner.replies() == [
            "For +14155550142: (1/2) May I open page? 👍 or yes, 👎 or no",
            "(2/2) ▸ url: https://evil.example/x",
        ]
        assert {part.type for each in owner.messages for part in each.parts} == {"text"}
        await owner.text("yes")
        assert await ann.replies() == ["Done."]


async def test_a_call_that_is_too_long_to_be_shown_goes_back_to_the_model(framework: Answer) -> None:
    outside = Paying(TWO, note="a note " * 1000)
    bot = bot_of(outside, framework(outside), LinqAgent(needs_approval=["send_money"]))
    async with talking(bot) as phone:
        assert len(await answers(phone, "Pay them")) == 1
        assert not [each for each in phone.messages if each.startswith("(1/")]
        kept = str(await phone.state(Kept, name=TOOL_WORK))  # what the model has read
    assert outside.paid == []
    assert "too long to be shown" in kept


@pytest.mark.slow
async def test_a_question_of_several_bubbles_is_asked_once_wherever_the_bot_is_killed() -> None:
    bookings = Bookings()
    call = tool("book_table", "c1", hour=8, guest="Ann " * 300)

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return says("Done.") if kinds(messages)[-1].startswith("tool-return") else calls(call)

    async def scenario(phone: Phone) -> None:
        bookings.booked.clear()
        await phone.text("A table")
        asked = [await phone.next_reply(), await phone.next_reply()]
        assert bookings.booked == []
        await phone.react(asked[1], "like")

    bookings.agent.model = FunctionModel(respond)
    async for phone in killed_between_calls(bot_with(bookings.agent), scenario):
        assert [each.partition(" ")[0] for each in phone.messages] == ["A", "(1/2)", "(2/2)", "Done."], phone.killed
        assert len(set(bookings.booked)) == 1, phone.killed
