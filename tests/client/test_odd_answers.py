"""A value of Linq's answers in a form that Linq does not document costs that value alone. A page is never taken for the whole list."""

from __future__ import annotations

import random
from typing import Any

import pytest
from client.calls import CALLS, Exchange
from client.http11_peers import Script, answer, client_over
from odd_values import NEW, ODD, Path, lost, paths, with_new_members, with_value, without

from linqbot.client.resources.resource import Page
from linqbot.errors import LinqApiError

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecate:DeprecationWarning")

NO_ANSWER: Any = object()


async def results(name: str, exchange: Exchange, bodies: list[Any]) -> list[Any]:
    """Return what a call returns for each of some answers: plain data and models; NO_ANSWER where it raises."""
    found = list[Any]()
    linq = Script()
    async with client_over(linq) as client:
        for body in bodies:
            linq.steps = [answer(exchange.status, body)]
            try:
                got = await CALLS[name](client, exchange.scene)
            except LinqApiError:
                found.append(NO_ANSWER)
            else:
                found.append([*got.items, got.next_cursor] if isinstance(got, Page) else got)
    return found


def places(exchange: Exchange) -> list[Path]:
    """Return the paths of all values of an answer, except those of which the list of a page consists."""
    listed = {key for key, each in exchange.answer.items() if isinstance(each, list)} if exchange.answer else set()
    is_page = len(listed) == 1
    return [path for path in paths(exchange.answer) if not (is_page and path[0] in listed and len(path) <= 2)]


async def losses(name: str, exchange: Exchange, at: list[Path]) -> list[Any]:
    whole = exchange.answer
    tried = [(path, odd) for path in at for odd in ODD]
    bodies = [whole, *(without(whole, path) for path in at), *(with_value(whole, path, odd) for path, odd in tried)]
    undisturbed, *rest = await results(name, exchange, bodies)
    absent = dict(zip(at, rest[: len(at)], strict=True))
    found = []
    for (path, odd), got in zip(tried, rest[len(at) :], strict=True):
        if absent[path] is NO_ANSWER:
            continue  # a required field
        gone = "everything" if got is NO_ANSWER else lost(got, [undisturbed, absent[path]], path, odd)
        if gone:
            found.append((name, path, odd, gone))
    return found


async def test_an_odd_value_of_an_answer_costs_nothing_else(exchanges: dict[str, Exchange]) -> None:
    choice = random.Random(1)
    found = []
    for name, exchange in exchanges.items():
        at = places(exchange)
        found += await losses(name, exchange, choice.sample(at, min(3, len(at))))
    assert found == []


@pytest.mark.slow
async def test_an_odd_value_anywhere_in_any_answer_costs_nothing_else(exchanges: dict[str, Exchange]) -> None:
    found = []
    for name, exchange in exchanges.items():
        found += await losses(name, exchange, places(exchange))
    assert found == []


async def test_a_member_of_tomorrow_in_each_object_of_an_answer_costs_nothing(exchanges: dict[str, Exchange]) -> None:
    for name, exchange in exchanges.items():
        if exchange.answer:
            whole, got = await results(name, exchange, [exchange.answer, with_new_members(exchange.answer, {NEW: 1})])
            assert lost(got, [whole], (), None) == [], name


async def test_a_page_is_no_page_if_an_item_or_the_whole_list_cannot_be_read(exchanges: dict[str, Exchange]) -> None:
    """A page without some of its items would be taken for the whole list: a gap in a chat would never be seen."""
    for name, key in (
        ("chats.messages.list", "messages"),
        ("payment_requests.list", "data"),
        ("v2.list_chats", "data"),
    ):
        whole = exchanges[name].answer
        tried: list[tuple[Path, Any]] = [((key,), "?"), ((key,), 7), ((key,), {}), ((key,), {NEW: 1})]
        tried += [((key, 0), "?"), ((key, 0), 7), ((key, 0), {}), ((key, 0), []), ((key, 0, "id"), {})]
        broken = [with_value(whole, path, odd) for path, odd in tried]
        assert await results(name, exchanges[name], broken) == [NO_ANSWER] * len(broken), name


async def test_a_list_whose_cursor_cannot_be_read_ends_in_an_error_and_not_as_if_it_were_whole(
    exchanges: dict[str, Exchange],
) -> None:
    there, status, whole = exchanges["chats.messages.list"]
    unreadable: list[Any] = [7, {"after": "x"}, ["x"]]
    for odd in unreadable:
        async with client_over(Script(answer(status, {**whole, "next_cursor": odd}))) as client:
            listing = client.chats.messages.list(there.chat)
            assert (await listing).is_cut_off
            items = listing.__aiter__()
            read = [await anext(items) for _ in whole["messages"]]
            assert [each.id for each in read] == [each["id"] for each in whole["messages"]]
            with pytest.raises(LinqApiError, match="next_cursor cannot be read"):
                await anext(items)
