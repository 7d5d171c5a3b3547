"""Questions: a handler that asks ends, and goes on with the answer in another process."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

import pytest
from asking_talk import Talk, asking
from fakes import CHAT, LINE, NOW, PERSON, delivery, envelope, poll_made, poll_vote, tapback, text_body
from one_handler import does, says
from pydantic import BaseModel
from refusing import Refusing
from simulated_crash import crash

from linqbot import (
    AskCancelled,
    BotError,
    Context,
    Event,
    LinqApiError,
    MediaPart,
    MessageReceived,
    ReactionAdded,
    regex,
)
from linqbot.bot.router import Next
from linqbot.engine.failure import RetryPolicy
from linqbot.errors import StorageUnavailable
from linqbot.events import ContactCardReceived, TypingStarted
from linqbot.features.muted_chats import Mute, mute_chat
from linqbot.storage.holds import FOREVER


async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Welcome!")
    name = await ctx.ask("Your name?")
    await ctx.reply(f"Hello {name}, you said {message.text}.")


async def test_an_answer_that_was_accepted_before_the_timeout_wins_whenever_it_is_handled(talk: Talk) -> None:
    await talk.to(greet, "hi")
    await talk.put(text_body("Ada"))
    await talk.restart()
    talk.clock.advance(90_000)
    await talk.run()
    assert talk.said == ["Welcome!", "Your name?", "Hello Ada, you said hi."]
    assert (talk.open_questions(), await talk.storage.scheduled()) == ([], [])


async def test_a_late_answer_is_an_ordinary_message_that_names_the_question(talk: Talk) -> None:
    seen = []

    async def ask(message: MessageReceived, ctx: Context) -> None:
        seen.append(ctx.after_ask)
        await ctx.ask("Your name?", timeout_s=60, key="name")

    await talk.to(ask, "hi")
    await talk.pass_time(61)
    await talk.say("Ada", "and now an answer", "and another message")
    # "hi" and its timeout, "Ada" and the answer to its own question, and the last message.
    assert [each is not None for each in seen] == [False, False, True, True, False]
    late = seen[2]
    assert late is not None
    assert (late.question, late.key, late.asked_at.timestamp()) == ("Your name?", "name", NOW)
    assert late.handler.endswith("ask")
    assert seen[3] == late


async def test_after_the_last_try_the_question_is_cancelled(talk: Talk) -> None:
    async def count(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("How many?", kind=int, tries=2)
        except AskCancelled as error:
            await ctx.reply(error.reason)
        await ctx.ask("And why?")
        await ctx.reply("Thanks.")

    await talk.to(count, "hi", "many", "very many", "because")
    assert talk.said == [
        "How many?",
        "Please give one whole number, such as 2 or twelve.",
        "invalid",
        "And why?",
        "Thanks.",
    ]


async def test_choices_are_a_poll_on_imessage(talk: Talk) -> None:
    for answer in ("saturday", "Saturday, please 🙂", "vote"):
        talk.deploy(asking("Which day?", choices=["Friday", "Saturday"]))
        talk.linq.will_answer("chats.polls.create", poll_made("f", "s"))
        await talk.say("hi")
        assert talk.said[-1] == "Which day?"
        if answer == "vote":
            await talk.receive(poll_vote("s", poll="another"))
            assert talk.said[-1] == "Which day?"
            await talk.receive(poll_vote("added"))
            assert talk.said[-1] == "Please answer with one of these: Friday, Saturday."
            await talk.receive(poll_vote("s"))
        else:
            await talk.say(answer)
        assert talk.said[-1] == "Saturday"
    created = [call.body for call in talk.linq.calls if call.name == "chats.polls.create"]
    assert [option["text"] for option in (created[0] or {})["poll"]["options"]] == ["Friday", "Saturday"]


async def test_choices_are_a_numbered_list_elsewhere_and_where_linq_refuses_a_poll(talk: Talk) -> None:
    talk.deploy(asking("How many?", choices=["4", "2", "many"], tries=9))
    await talk.say("hi", "3.", service="SMS")
    assert talk.said == ["How many?\n1. 4\n2. 2\n3. many", "many"]
    talk.linq.will_answer("chats.polls.create", LinqApiError("no poll", status=400, code=1005))
    await talk.say("hi")
    assert talk.said[2:] == ["How many?", "1. 4\n2. 2\n3. many"]
    for no_choice in ("all", "0", "5", "9" * 5000):
        await talk.say(no_choice)
        assert talk.said[-1] == "Please answer with one of these: 4, 2, many."


async def test_yes_or_no_by_words_by_tapback_or_by_an_emoji_that_looks_like_one(talk: Talk) -> None:
    talk.deploy(asking("Book it?", yes="like"), loop_breaker=False)
    for answer in ("yes", "Nope!", "👍"):
        await talk.say("hi", answer)
    assert talk.said[1::2] == ["True", "False", "True"]
    for reaction, emoji, is_yes in (("like", "", True), ("dislike", "", False), ("custom", "👎🏽", False)):
        await talk.say("hi")
        question = f"sent-{len(talk.linq.calls)}"
        for other in (tapback("laugh", question), tapback("custom", question, emoji="🎉"), tapback("like", "sent-1")):
            await talk.receive(other)
        await talk.receive(tapback("like", question, sender="+15550001111"))
        assert talk.said[-1] == "Book it?"
        await talk.receive(tapback(reaction, question, emoji=emoji))
        assert talk.said[-1] == str(is_yes)


async def test_a_photo_answers_a_question_for_a_file(talk: Talk) -> None:
    async def look(message: MessageReceived, ctx: Context) -> None:
        photo = await ctx.ask("A photo, please.", kind=MediaPart)
        await ctx.reply(photo.filename or "?")

    await talk.to(look, "hi", "no")
    media = {"type": "media", "filename": "cat.jpg", "mime_type": "image/jpeg", "url": "https://x.test/1"}
    await talk.receive(text_body(parts=[media]))
    assert talk.said == ["A photo, please.", "Please answer with a photo or a file.", "cat.jpg"]


async def test_words_are_no_contact_card(talk: Talk) -> None:
    await talk.to(asking("Your card?", kind=ContactCardReceived), "hi", "here")
    assert talk.open_questions() == ["waiting"]
    assert [said for said in talk.said if "contact" in said.casefold()] == talk.said[1:] != []


async def test_a_reply_to_a_message_that_is_not_on_record_answers(talk: Talk) -> None:
    await talk.to(asking("Your name?"), "hi")
    await talk.say("Ada", reply_to={"message_id": "20000000-0000-4000-8000-000000000001", "part_index": 0})
    assert talk.said == ["Your name?", "Ada"]


async def test_a_contact_card_answers_no_question_for_words(talk: Talk) -> None:
    await talk.to(asking("Your name?"), "hi")
    await talk.receive(envelope("contact_card.received", {"sender_handle": PERSON, "owner_handle": LINE}))
    assert (talk.said, talk.open_questions()) == (["Your name?"], ["waiting"])


async def test_others_in_a_group_go_to_the_router_and_the_asked_person_needs_no_mention(talk: Talk) -> None:
    talk.deploy(asking("Your name?"), groups="addressed")
    mention = {"mentions": [{"handle": LINE, "is_me": True, "range": [0, 4]}]}
    await talk.say("@bot hi", is_group=True, part=mention)
    assert talk.said == ["Your name?"]
    await talk.say("unasked", is_group=True, sender="+15550001111")
    assert talk.said == ["Your name?"]
    await talk.say("Ada", is_group=True)
    assert talk.said == ["Your name?", "Ada"]


async def test_a_question_to_another_person_and_to_anyone(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        one = await ctx.ask("Boss?", who="+15550001111")
        other = await ctx.ask("Anyone?", who="anyone")
        await ctx.reply(f"{one} {other}")

    talk.deploy(ask, groups="all")
    group = {"is_group": True}
    await talk.say("hi", **group)
    assert talk.open_questions() == ["waiting"]
    await talk.say("yes", sender="+15550001111", **group)
    await talk.say("me", sender="+15550002222", **group)
    assert talk.said == ["Boss?", "Anyone?", "yes me"]


async def test_a_swallowed_suspension_and_a_task_group_still_suspend(talk: Talk) -> None:
    async def swallowing(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("One?")
        except BaseException as error:
            if type(error).__name__ != "Suspended":
                raise
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.send("In a task."))
            await ctx.ask("Two?")
        await ctx.reply("Done.")

    await talk.to(swallowing, "hi", "1", "2")
    assert talk.said[0] == "One?"
    assert sorted(talk.said[1:3]) == ["In a task.", "Two?"]
    assert talk.said[3:] == ["Done."]
    assert await talk.storage.dead_letters() == []


async def test_past_sends_return_their_messages_and_other_calls_their_answers(talk: Talk) -> None:
    ids = []

    async def look(message: MessageReceived, ctx: Context) -> None:
        ids.append((await ctx.reply("One")).id)
        await ctx.react("love")
        await ctx.send_later("Later", after_s=60)
        await ctx.ask("Two?")
        ids.append((await ctx.reply("Three")).id)

    await talk.to(look, "hi", "2")
    assert ids[0] == ids[1]
    assert len(set(ids)) == 2
    assert talk.linq.names().count("messages.add_reaction") == 1
    assert len(await talk.storage.scheduled()) == 1


async def test_a_question_whose_poll_a_plugin_refuses_has_a_list(talk: Talk) -> None:
    no_polls = Refusing(lambda call: call.name == "chats.polls.create", "No polls.")
    await talk.to(asking("Which size?", choices=["S", "M"]), "order", "2", plugins=[no_polls])
    assert talk.said == ["Which size?", "1. S\n2. M", "M"]


async def test_a_refused_call_is_refused_again_in_the_past(talk: Talk) -> None:
    paths = []

    async def look(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.reply("One")
        except LinqApiError as error:
            paths.append(error.code)
        await ctx.ask("Two?")

    talk.deploy(look)
    talk.linq.will_answer("chats.messages.send", LinqApiError("no", status=400, code=1234))
    await talk.say("hi", "2")
    assert paths == [1234, 1234]


async def test_the_context_is_that_of_each_part(talk: Talk) -> None:
    seen = []

    async def look(message: MessageReceived, ctx: Context) -> None:
        first = ctx.event.message_id
        await ctx.ask("One?")
        seen.append((message.message_id == first, ctx.event.message_id != first, ctx.resuming, ctx.match["word"]))

    bot = talk.deploy()
    bot.on_message(regex(r"say (?P<word>\w+)"))(look)
    await talk.say("say hello", "1")
    assert seen == [(True, True, True, "hello")]


async def test_a_handler_that_never_stops_asking_is_stopped(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.features.asking.session.MOST_ASKS", 5)

    async def endless(message: MessageReceived, ctx: Context) -> None:
        for number in range(200):
            await ctx.ask(f"{number}?")

    talk.deploy(endless, loop_breaker=False)
    for number in range(6):
        await talk.say(f"{number}")
    (letter,) = await talk.storage.dead_letters()
    assert "ConversationTooLong: The conversation has 5 questions, which is the most." in letter.whole_error
    assert talk.open_questions() == ["failed"]


async def test_a_result_that_is_no_json_says_what_to_do_and_is_not_made_again(talk: Talk) -> None:
    made = []

    def work(key: str) -> object:
        made.append(key)
        return object()

    await talk.to(does(lambda ctx: ctx.once("order", work)), "once")
    (letter,) = await talk.storage.dead_letters()
    assert "The step 'order' was made, but its result of type object" in letter.whole_error
    await talk.storage.retry([letter.delivery.id])
    await talk.run()
    assert "cut off" in (await talk.storage.dead_letters())[0].error
    assert len(made) == 1


async def test_an_answer_waits_for_a_storage_that_cannot_be_read(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreadable(conversation_id: str) -> Any:
        raise StorageUnavailable("locked")

    await talk.to(greet, "hi")
    with monkeypatch.context() as patch:
        patch.setattr(talk.storage, "conversation", unreadable)
        await talk.say("Ada")
    (waiting,) = await talk.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("deferred", 0)
    await talk.pass_time(10)
    assert talk.said == ["Welcome!", "Your name?", "Hello Ada, you said hi."]


async def test_an_answer_that_kills_the_process_ends_the_conversation(talk: Talk) -> None:
    async def dies(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your name?")
        await crash()

    await talk.to(dies, "hi")
    await talk.put(text_body("Ada"))
    for _ in range(RetryPolicy().crashes):
        assert await talk.crashable.run(talk.run())
        await talk.restart()
    await talk.run()
    assert talk.open_questions() == ["failed"]
    assert len(await talk.storage.dead_letters()) == 1


Wait: TypeAlias = Callable[[Context], Coroutine[Any, Any, Any]]
WAITS: dict[str, Wait] = {
    "ask": lambda ctx: ctx.ask("Your name?"),
    "pay": lambda ctx: ctx.pay(500, "Tea"),
    "location": lambda ctx: ctx.location(),
    "vote": lambda ctx: ctx.vote(["a", "b"]),
}


def misuses(verb: str, wait: Wait) -> list[tuple[Callable[..., Any], str]]:
    """Return handlers that may not wait where they do, and words of the error of each."""

    def plain(message: MessageReceived, ctx: Context) -> None:
        wait(ctx).close()

    async def twice(message: MessageReceived, ctx: Context) -> None:
        await asyncio.gather(wait(ctx), wait(ctx))

    async def in_a_step(message: MessageReceived, ctx: Context) -> None:
        await ctx.once("order", lambda key: wait(ctx))

    async def after_a_step_in_a_step(message: MessageReceived, ctx: Context) -> None:
        async def make(key: str) -> None:
            await ctx.once("price", len)
            await wait(ctx)

        await ctx.once("order", make)

    return [
        (plain, f"await ctx.{verb}(…)"),
        (twice, f"ctx.{verb}() was called in a task"),
        (twice, "or that an agent started for its tools"),
        (in_a_step, "called in the step 'order'"),
        (after_a_step_in_a_step, "called in the step 'order'"),
    ]


async def test_only_the_handler_itself_may_wait_for_a_person(talk: Talk, subtests: pytest.Subtests) -> None:
    for verb, wait in WAITS.items():
        for handler, problem in misuses(verb, wait):
            with subtests.test(verb=verb, handler=handler.__name__):
                talk.deploy(handler)
                assert problem in await talk.error_of("hi")
    assert talk.linq.names() == []


def selling(dish: str) -> Any:
    async def order(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"{dish}: {await ctx.ask('How many?')}")

    return order


async def test_a_handler_whose_name_another_one_has_cannot_ask(talk: Talk) -> None:
    bot = talk.deploy()
    bot.on_message("soup")(selling("soup"))
    bot.on_message("cake")(selling("cake"))
    problem = await talk.error_of("cake")
    assert "Several handlers are called" in problem
    assert "selling.<locals>.order" in problem
    assert talk.said == []


async def test_a_side_handler_cannot_ask(talk: Talk) -> None:
    bot = talk.deploy()
    bot.on_message("help", during_ask=True)(does(lambda ctx: ctx.ask("With what?")))
    bot.on_message(greet)
    assert "during_ask" in await talk.error_of("hi", "help")
    assert talk.open_questions() == ["waiting"]


async def test_a_question_is_asked_again_after_a_side_handler_whose_error_was_handled(talk: Talk) -> None:
    bot = talk.deploy()

    @bot.on_message("status", during_ask=True)
    async def status(message: MessageReceived, ctx: Context) -> None:
        raise LookupError

    @bot.on_error(LookupError)
    async def sorry(error: LookupError, event: Event, ctx: Context) -> None:
        await ctx.reply("There is no such order.")

    bot.on_message(greet)
    await talk.say("hi", "status")
    assert talk.said == ["Welcome!", "Your name?", "There is no such order.", "Your name?"]


async def test_a_question_is_asked_again_once_though_middleware_fails_behind_the_side_handler(talk: Talk) -> None:
    bot = talk.deploy()

    @bot.use
    def fail_after(next_: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            await next_(event, ctx)
            if isinstance(event, MessageReceived) and event.text == "status":
                raise LookupError

        return handle

    bot.on_message("status", during_ask=True)(says("All is well."))

    @bot.on_error(LookupError)
    async def sorry(error: LookupError, event: Event, ctx: Context) -> None: ...

    bot.on_message(greet)
    await talk.say("hi", "status")
    assert talk.said == ["Welcome!", "Your name?", "All is well.", "Your name?"]


async def test_a_person_is_not_asked_two_questions_at_a_time(talk: Talk) -> None:
    bot = talk.deploy(greet)

    @bot.on_reaction
    async def ask(event: ReactionAdded, ctx: Context) -> None:
        await ctx.ask("Why?")

    talk.attempts = 1
    await talk.say("hi")
    await talk.receive(tapback("love", "sent-1"))
    assert "has already asked" in (await talk.storage.dead_letters())[0].whole_error
    assert talk.said == ["Welcome!", "Your name?"]


async def test_a_handler_that_ends_the_open_question_first_may_ask(talk: Talk) -> None:
    bot = talk.deploy(greet)

    @bot.on_reaction
    async def ask(event: ReactionAdded, ctx: Context) -> None:
        ctx.end_questions()
        await ctx.send(f"Because: {await ctx.ask('Why?')}")

    await talk.say("hi")
    await talk.receive(tapback("love", "sent-1"))
    await talk.say("It is nice")
    assert talk.said == ["Welcome!", "Your name?", "Why?", "Because: It is nice"]
    assert talk.open_questions() == []


async def test_an_event_without_a_chat_or_beside_the_chat_cannot_ask(talk: Talk) -> None:
    bot = talk.deploy()

    async def ask(event: Event, ctx: Context) -> None:
        await ctx.ask("Well?")

    bot.on(TypingStarted)(ask)
    bot.on(ContactCardReceived)(ask)
    talk.attempts = 1
    await talk.receive(envelope("contact_card.received", {"sender_handle": PERSON, "owner_handle": LINE}))
    await talk.receive(envelope("chat.typing_indicator.started", {"chat_id": CHAT, "chat": {"id": CHAT}}))
    beside, without = [letter.whole_error for letter in await talk.storage.dead_letters()]
    assert "runs next to the chat's other handlers" in beside
    assert "belongs to no chat" in without


async def test_arguments_that_do_not_fit_are_refused(talk: Talk, subtests: pytest.Subtests) -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"kind": int, "yes": "like"}, "yes= without kind="),
        ({"kind": MediaPart, "choices": ["1"]}, "read from text only"),
        ({"choices": ["a", "A "]}, "two choices are equal"),
        ({"choices": [" "]}, "each choice is a text"),
        ({"yes": "lkie"}, "no such reaction. Did you mean 'like'?"),
        ({"yes": "👍"}, "no such reaction"),
        ({"timeout_s": 0}, "more than 0"),
        (
            {"timeout_s": "600"},
            "ctx.ask(timeout_s=…) takes a number of seconds, such as 60, but got a value of type str",
        ),
        ({"timeout_s": timedelta(hours=1)}, "Write timedelta(…).total_seconds()"),
        ({"tries": 0}, "number of answers"),
        ({"tries": "2"}, "ctx.ask(tries=…) takes a number of answers"),
        ({"choices": [1, 2]}, "each of them is a text"),
        ({"choices": {"a", "b"}}, "ctx.ask(choices=…) takes a list of texts, not a value of type set"),
        ({"choices": 5}, "takes a list of texts, not a value of type int"),
        ({"cancel": [None]}, "each of them is a text"),
        ({"who": None}, "or a handle"),
        ({"tries": 1.5}, "number of answers"),
        ({"key": 5}, "ctx.ask(key=…) takes a text, not a value of type int"),
        ({"choices": []}, "nothing to choose from"),
        ({"choices": "Friday"}, "give a list of texts"),
        ({"cancel": "stop"}, "give a list of texts"),
        ({"who": "Bob"}, "or a handle"),
        *(({"kind": kind}, "no text can be read as this") for kind in (5, None, dict, list[int])),
        *(({"kind": kind}, "stand alone") for kind in (MediaPart | str, Annotated[ContactCardReceived | None, "card"])),
        ({"also": ["+14155550142"]}, "with yes= only"),
        ({"side_questions": True}, "with yes= only"),
        ({"yes": "like", "also": "+14155550142"}, "give a list of texts"),
        ({"yes": "like", "also": ["Bob"]}, "'Bob' is no handle"),
        ({"yes": "like", "also": [None]}, "each of them is a text"),
    ]
    runs = []

    async def ask(message: MessageReceived, ctx: Context) -> None:
        runs.append(message.text)
        for arguments, problem in rows:
            with subtests.test(arguments=repr(arguments)):
                with pytest.raises(BotError) as refused:
                    await ctx.ask("Well?", **arguments)
                assert problem in str(refused.value)
        await ctx.ask("Well?", **rows[0][0])

    talk.deploy(ask)
    assert "yes= without kind=" in await talk.error_of("hi")
    assert (runs, talk.said) == (["hi"], [])


async def test_words_and_people_of_a_question_may_be_sets_because_their_order_does_not_matter(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        words: Any = {"stop it", "no more"}
        people: Any = frozenset({"+14155550143", "+14155550144"})
        await ctx.ask("Well?", yes="like", cancel=words, also=people)

    await talk.to(ask, "hi")
    assert talk.said == ["Well?"]


class Guest(BaseModel):
    visits: int = 0
    names: list[str] = []


async def test_a_list_that_is_taken_before_a_question_gets_the_answer(talk: Talk) -> None:
    async def form(message: MessageReceived, ctx: Context) -> None:
        guest = await ctx.state.person(Guest)
        guest.names.append(await ctx.ask("First name?"))
        names = guest.names
        names.append(await ctx.ask("Last name?"))
        await ctx.reply(f"{guest.visits} {' '.join(guest.names)}")

    async def count(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.person(Guest)).visits += 1

    bot = talk.deploy()
    bot.on_message("side", during_ask=True)(count)
    bot.on_message(form)
    await talk.say("hi", "Ada", "side", "Lovelace")
    assert talk.said[-1] == "1 Ada Lovelace"
    assert await talk.storage.load(f"person:{PERSON}") == {"Guest": b'{"visits":1,"names":["Ada","Lovelace"]}'}


async def test_a_question_that_is_refused_after_its_send_leaves_the_open_one_that_it_would_replace(talk: Talk) -> None:
    async def later(message: MessageReceived, ctx: Context) -> None:
        guest = await ctx.state.person(Guest)

        async def spoil(_: object) -> None:
            guest.names = object()  # type: ignore[assignment]

        talk.linq.before = spoil  # as another part of the handler may do while the question is sent
        with pytest.raises(BotError, match="cannot be stored"):
            await ctx.ask("When?")
        talk.linq.before = None
        guest.names = []

    bot = talk.deploy()
    bot.on_message("hello")(says("Hello!"))
    bot.on_message("later")(later)
    bot.on_message(asking("Your name?"))
    await talk.say("hello", "hi")
    await talk.say("later", reply_to={"message_id": "sent-1", "part_index": 0})
    assert talk.said == ["Hello!", "Your name?", "When?"]
    await talk.say("Ada")
    assert talk.said[3:] == ["Ada"]
    assert (await talk.storage.dead_letters(), talk.open_questions()) == ([], [])


async def test_with_zero_retention_an_answer_is_handled_and_no_text_is_left(talk: Talk) -> None:
    talk.deploy(asking("Which marker?"))
    for text in ("hi, marker", "marker soup"):
        await talk.say(text, zero_retention=True)
    await talk.say("hi, no mark of the line")  # such as a post or a tapback
    await talk.say("marker soup", zero_retention=True)
    assert talk.said == 2 * ["Which marker?", "marker soup"]
    with sqlite3.connect(talk.path) as db:
        kept = [value for row in db.execute("SELECT call, answer FROM journal") for value in row if value is not None]
    db.close()
    assert kept
    assert b"marker" not in b"".join(map(bytes, kept))


async def test_a_message_that_was_missed_answers_no_question_in_a_muted_chat(talk: Talk) -> None:
    await talk.to(asking("When?"), "book")
    await mute_chat(talk.storage, Mute(CHAT, FOREVER))
    await talk.storage.put(replace(delivery(text_body("Friday")), id="i.reconciled.1"))
    await talk.run()
    assert (talk.said, talk.open_questions()) == (["When?"], ["waiting"])


async def test_choices_are_a_poll_also_if_the_api_key_was_wrong_at_first(talk: Talk) -> None:
    talk.deploy(asking("Which day?", choices=["Friday", "Saturday"]))
    wrong_key = LinqApiError("no", status=401, code=2004)
    talk.linq.will_answer("chats.polls.create", wrong_key, poll_made("f", "s"))
    await talk.say("hi")
    await talk.pass_time(60)
    assert talk.said == ["Which day?"]
    assert talk.linq.names() == ["chats.messages.send", "chats.polls.create", "chats.polls.create"]
    await talk.receive(poll_vote("s"))
    assert talk.said == ["Which day?", "Saturday"]
