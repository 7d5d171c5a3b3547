"""`ctx.state`, seen by the author of a bot: what is stored, for whom, and the errors for what cannot work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from answers import answers
from fakes import delivery, envelope, message
from one_handler import bot_of
from pydantic import BaseModel, Field, computed_field

from linqbot import Bot, BotError, Context, Event, MessageReceived
from linqbot.clock import MovableClock
from linqbot.engine.state import TurnState
from linqbot.engine.state_values import MAX_BYTES
from linqbot.linq.events.parse import parse
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.state import StateWrite
from linqbot.testing import HandlerFailed, talking


class Guest(BaseModel):
    visits: int = 0
    name: str = ""
    wishes: list[str] = []


class Table(BaseModel):
    seats: int = 4


CLOCK = MovableClock(0.0, frozen=True)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage(clock=CLOCK)


async def end(state: TurnState, storage: MemoryStorage) -> list[StateWrite]:
    """Store what a turn changed, as the commit of the turn does."""
    writes = state.close()
    await storage.write_state(writes)
    return writes


async def test_in_a_group_each_sender_has_their_own_state_and_the_chat_has_one() -> None:
    async def count(message: MessageReceived, ctx: Context) -> None:
        guest, table, total = (
            await ctx.state.person(Guest),
            await ctx.state.chat(Table),
            await ctx.state.bot(Table, name="Total"),
        )
        guest.visits, table.seats, total.seats = guest.visits + 1, table.seats + 1, total.seats + 1
        await ctx.send(f"{guest.visits} {table.seats} {total.seats}")

    async with talking(bot_of(count, groups="all")) as phone:
        ann = phone.person("Ann@Example.com")
        group = phone.group(ann)
        await group.text("one")
        await group.by(ann).text("two")
        assert await group.replies() == ["1 5 5", "1 6 6"]
        assert await answers(ann, "three") == ["2 5 7"]


async def test_only_a_changed_value_is_written(storage: MemoryStorage) -> None:
    state = TurnState(message(), storage, CLOCK)
    await state.person(Guest)
    (await state.chat(Table)).seats = 4
    (await state.bot(Guest)).wishes.append("a window seat")
    assert [(write.scope, write.name) for write in await end(state, storage)] == [("bot", "Guest")]
    assert (await TurnState(message(), storage, CLOCK).bot(Guest)).wishes == ["a window seat"]


async def test_all_code_of_a_turn_shares_one_object(storage: MemoryStorage) -> None:
    state = TurnState(message(), storage, CLOCK)
    first, second = await asyncio.gather(state.person(Guest), state.person(Guest))
    assert first is second is await state.person(Guest)
    assert first is not await state.person(Guest, name="Other")


async def test_an_error_handler_does_not_save_what_the_failed_handler_changed() -> None:
    bot = Bot()

    @bot.on_message
    async def greet(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.person(Guest)).visits += 1
        raise ValueError

    @bot.on_error(ValueError)
    async def sorry(error: ValueError, event: Event, ctx: Context) -> None:
        (await ctx.state.person(Guest)).name = "failed once"

    async with talking(bot) as phone:
        await phone.text("hi")
        assert await phone.state(Guest) == Guest(name="failed once")


async def test_a_line_with_zero_retention_stores_nothing() -> None:
    async def greet(message: MessageReceived, ctx: Context) -> None:
        guest = await ctx.state.person(Guest)
        guest.visits += 1
        await ctx.reply(f"Visit {guest.visits}")

    async with talking(bot_of(greet)) as phone:
        phone.emulator.state.lines[phone.line].zero_retention = True
        assert await answers(phone, "hi", "hi") == ["Visit 1", "Visit 1"]
        assert await phone.state(Guest) == Guest()


async def test_a_line_with_zero_retention_tells_nothing_that_hangs_on_a_shared_value_it_cannot_store() -> None:
    async def count(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.bot(Guest)).visits += 1
        await ctx.reply("Counted.")

    async with talking(bot_of(count)) as phone:
        phone.emulator.state.lines[phone.line].zero_retention = True
        await phone.text("hi")
        with pytest.raises(HandlerFailed, match="zero retention, so the change is not stored"):
            await phone.quiet()
        assert phone.messages == ["hi"]


async def test_people_lists_the_handles_whose_stored_value_fits(storage: MemoryStorage) -> None:
    for n in range(1200):
        await storage.write_state([StateWrite(f"person:+1{n:05}", "Guest", b'{"visits":%d}' % (n % 3))])
    await storage.write_state([StateWrite("person:+19", "Table", b"{}"), StateWrite("bot", "Guest", b"{}")])
    state = TurnState(message(), storage, CLOCK)
    assert len([handle async for handle in state.people(Guest)]) == 1200
    found = [handle async for handle in state.people(Guest, where=lambda guest: guest.visits == 2)]
    assert found[:2] == ["+100002", "+100005"]
    assert len(found) == 400
    assert [handle async for handle in state.people(Table)] == ["+19"]


async def stored(storage: MemoryStorage, value: bytes, name: str = "Guest") -> TurnState:
    await storage.write_state([StateWrite("bot", name, value)])
    return TurnState(message(), storage, CLOCK)


async def test_a_model_that_gained_a_field_reads_old_values_and_does_not_write_for_that(storage: MemoryStorage) -> None:
    state = await stored(storage, b'{"visits": 7}')
    assert await state.bot(Guest) == Guest(visits=7)
    assert await end(state, storage) == []


async def test_fields_that_the_model_does_not_have_are_kept(storage: MemoryStorage) -> None:
    state = await stored(storage, b'{"visits": 7, "added_by_a_newer_release": [1, 2]}')
    (await state.bot(Guest)).visits = 8
    await end(state, storage)
    assert (await storage.load("bot"))["Guest"] == (
        b'{"visits":8,"name":"","wishes":[],"added_by_a_newer_release":[1,2]}'
    )


async def test_aliases_and_computed_fields_survive(storage: MemoryStorage) -> None:
    class Named(BaseModel):
        first: str = Field(default="", alias="firstName")

        @computed_field  # type: ignore[prop-decorator]
        @property
        def shout(self) -> str:
            return self.first.upper()

    state = await stored(storage, b'{"firstName": "ann", "kept": 1}', name=Named.__qualname__)
    value = await state.bot(Named)
    assert value.first == "ann"
    value.first = "bob"
    await end(state, storage)
    assert (await storage.load("bot"))[Named.__qualname__] == b'{"firstName":"bob","kept":1}'


async def test_a_model_with_a_field_without_a_default_and_what_is_no_model_are_refused(storage: MemoryStorage) -> None:
    class Strict(BaseModel):
        name: str

    no_model = "takes a pydantic model"
    rows: list[tuple[Any, str]] = [(dict, no_model), ({"visits": 0}, no_model), (Guest(), no_model)]
    for wrong, why in [(Strict, r"Strict\.name has no default"), *rows]:
        with pytest.raises(BotError, match=why):
            await TurnState(message(), storage, CLOCK).person(wrong)


async def test_two_models_of_one_name_are_refused(storage: MemoryStorage) -> None:
    state = TurnState(message(), storage, CLOCK)
    await state.bot(Guest, name="same")
    with pytest.raises(BotError, match="Two models are stored under the name same"):
        await state.bot(Table, name="same")
    await state.chat(Table, name="same")


def event(event_type: str, data: dict[str, Any]) -> Event:
    return parse(delivery(envelope(event_type, data)))


async def test_an_event_without_a_person_or_a_chat_says_so(storage: MemoryStorage) -> None:
    state = TurnState(event("phone_number.status_updated", {"phone_number": "+12052535597"}), storage, CLOCK)
    with pytest.raises(BotError, match="names no person"):
        await state.person(Guest)
    with pytest.raises(BotError, match="belongs to no chat"):
        await state.chat(Guest)
    assert await state.bot(Guest) == Guest()


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("visits", "many", "visits: Input should be a valid integer"),
        ("visits", object(), "could not be stored|cannot be stored"),
        ("name", "x" * MAX_BYTES, "262,144 are stored"),
    ],
)
async def test_a_value_that_could_not_be_read_again_is_not_stored(
    field: str, value: object, text: str, storage: MemoryStorage
) -> None:
    state = TurnState(message(), storage, CLOCK)
    setattr(await state.person(Guest), field, value)
    with pytest.raises(BotError, match=text):
        state.close()


async def test_a_handler_that_leaves_such_a_value_fails_and_an_error_handler_may_take_the_error() -> None:
    async def greet(message: MessageReceived, ctx: Context) -> None:
        guest = await ctx.state.person(Guest)
        guest.name, guest.visits = "Ann", "many"  # type: ignore[assignment]

    bot = bot_of(greet)

    @bot.on_error(BotError)
    async def sorry(error: BotError, event: Event, ctx: Context) -> None:
        await ctx.reply(str(error))

    async with talking(bot) as phone:
        (said,) = await answers(phone, "hi")
        assert "visits: Input should be a valid integer" in said
        assert await phone.state(Guest) == Guest()


async def test_state_is_refused_after_the_turn(storage: MemoryStorage) -> None:
    state = TurnState(message(), storage, CLOCK)
    state.close()
    with pytest.raises(BotError, match="after its turn had ended"):
        await state.person(Guest)


async def test_the_state_of_a_direct_chat_is_erased_with_the_person(storage: MemoryStorage) -> None:
    for is_group, chat in ((False, "direct"), (True, "group")):
        state = TurnState(message(is_group=is_group, chat=chat), storage, CLOCK)
        (await state.chat(Table)).seats = 2
        await end(state, storage)
    await storage.forget("+14155550142")
    assert [row.scope for row in await storage.state_rows()] == ["chat:group"]
