"""Responses that came from a proxy, a firewall or a captive portal, and flawed responses of Linq."""

from __future__ import annotations

import json
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import httpx
import pytest
from client.calls import CALLS, Exchange, Scene
from client.http11_peers import CHAT, Script, answer, client_over

from linqbot import Client, LinqApiError, LinqUnavailable
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.resources.resource import Page
from linqbot.linq.endpoints import ENDPOINTS

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecate:DeprecationWarning")

SENT = "69a37c7d-af4f-4b5e-af42-e28e98ce873a"
SENDS = {
    "chats.create": "chat.message.id",
    "chats.messages.send": "message.id",
    "messages.create": "message.id",
    "messages.update_app_card": "message.id",
    "chats.polls.create": "message_id",
    "chats.send_voicememo": "voice_memo.id",
}
PAGE = b"<!DOCTYPE html><title>Please log in</title>"


class Row(NamedTuple):
    """A call in its scene, and the answer that it usually gets."""

    name: str
    scene: Scene
    answer: Any

    def write(self, client: Client) -> Any:
        return CALLS[self.name](client, self.scene)


@pytest.fixture(scope="module")
def rows(exchanges: dict[str, Exchange]) -> dict[str, Row]:
    return {name: Row(name, each.scene, each.answer) for name, each in exchanges.items() if name != "v2.list_chats"}


def reply(status: int, body: bytes = b"", kind: str = "", **headers: str) -> httpx.Response:
    return answer(status, body, **headers, **({"content_type": kind} if kind else {}))


async def refused(row: Row, said: httpx.Response) -> tuple[LinqApiError, Script]:
    """Return the error that a method raises, and the fake Linq that it called."""
    linq = Script(said)
    async with client_over(linq) as client:
        try:
            await row.write(client)
        except LinqApiError as error:
            return error, linq
    raise AssertionError(f"{row.name} takes this for an answer of Linq's: {said}, {said.content!r}")


async def accepted(row: Row, said: httpx.Response) -> Any:
    linq = Script(said)
    async with client_over(linq) as client:
        result = await row.write(client)
    assert len(linq.requests) == 1
    return result


UNREADABLE = {
    "a page": reply(200, PAGE, "text/html; charset=utf-8"),
    "a page under another name": reply(200, PAGE, "application/json"),
    "empty": reply(200),
    "no content": reply(204),
    "a list": reply(200, b"[]", "application/json"),
    "null": reply(200, b"null", "application/json"),
    "a word": reply(200, b'"ok"', "application/json"),
    "no JSON": reply(200, b'{"message": {"id', "application/json"),
    "no UTF-8": reply(202, b"\xff\xfe", "text/plain"),
}


async def test_a_2xx_without_linqs_object_is_no_answer(rows: dict[str, Row], subtests: pytest.Subtests) -> None:
    for row in (row for row in rows.values() if row.answer):
        # The call may have been executed: it is retried with its key or if it is idempotent, else never.
        is_once = ENDPOINTS[row.name].safety == "once" or row.name == "messages.add_reaction"
        for kind, said in UNREADABLE.items():
            with subtests.test(row=row.name, kind=kind):
                caught, linq = await refused(row, said)

                assert type(caught) is LinqUnavailable
                assert caught.status == said.status_code
                assert "not Linq's" in str(caught)
                assert len(linq.requests) == (1 if is_once else 3)
                sent = {(request.content, request.headers.get("idempotency-key")) for request in linq.requests}
                assert len(sent) == 1


async def test_an_object_without_what_every_answer_of_linqs_has_is_no_answer(
    rows: dict[str, Row], subtests: pytest.Subtests
) -> None:
    for row in [rows[name] for name, each in ENDPOINTS.items() if each.needs and name in rows]:
        with subtests.test(row=row.name):
            for body in ({}, {"ok": True}, damaged(row.answer, str(ENDPOINTS[row.name].needs), 5)):
                caught, _ = await refused(row, answer(200, body))
                assert type(caught) is LinqUnavailable
                assert str(ENDPOINTS[row.name].needs) in str(caught)


async def test_an_object_with_a_message_id_that_is_no_text_is_no_answer(rows: dict[str, Row]) -> None:
    for message_id in ({"a": 1}, 5, None):
        body = {"success": True, "message": {"id": message_id}}
        caught, _ = await refused(rows["chats.location.request"], answer(202, body))
        assert type(caught) is LinqUnavailable
        assert "without message.id" in str(caught)


async def test_where_linq_answers_without_a_body_its_2xx_is_enough_unless_it_is_a_page(
    rows: dict[str, Row], subtests: pytest.Subtests
) -> None:
    enough = [
        reply(204),
        reply(200),
        reply(202, b"null", "application/json"),
        reply(202, b'{"status": "accepted"}', "application/json"),
        reply(200, b"OK", "text/plain"),
    ]
    pages = [reply(200, PAGE, "text/html"), reply(200, b"\r\n <html>"), reply(200, b"", "text/html")]
    for row in (row for row in rows.values() if not row.answer):
        for said in enough:
            with subtests.test(row=row.name, content=said.content):
                assert await accepted(row, said) is None
        for page in pages:
            with subtests.test(row=row.name, content=page.content):
                caught, _ = await refused(row, page)
                assert type(caught) is LinqUnavailable


async def test_a_page_that_asks_for_a_wait_is_respected_whatever_its_status(rows: dict[str, Row]) -> None:
    for status in (200, 403, 503):
        caught, linq = await refused(rows["chats.messages.send"], reply(status, PAGE, "text/html", retry_after="90"))
        assert (caught.retry_after_s, len(linq.requests)) == (90, 1), status


async def test_the_error_tells_status_content_type_and_what_to_check_but_never_the_body(rows: dict[str, Row]) -> None:
    caught, _ = await refused(rows["chats.messages.send"], reply(200, PAGE, "Text/HTML; charset=utf-8; x=secret"))
    assert str(caught) == (
        "chats.messages.send was answered 200: the response is not Linq's: HTTP 200 with text/html, without a JSON object. "
        "Check the base URL, and the proxies and firewalls between this machine and Linq."
    )
    for kind in ("", "secret", "<secret>/x", "a/" + "secret" * 100):
        for said in (reply(200, b"secret", kind), reply(403, b"secret", kind), reply(302, b"secret", kind)):
            caught, _ = await refused(rows["chats.messages.send"], said)
            assert "secret" not in str(caught)
            assert "with no content type" in str(caught)


async def test_an_answer_that_is_not_linqs_is_an_error_to_whatever_wraps_the_call(rows: dict[str, Row]) -> None:
    def journal(run: Run) -> Run:
        async def keep(call: Call) -> ApiResponse:
            with pytest.raises(LinqUnavailable):
                await run(call)
            raise KeyError

        return keep

    async with client_over(Script(reply(200, PAGE, "text/html"))) as client:
        with pytest.raises(KeyError):
            await rows["chats.messages.send"].write(client.wrapped(journal))


def test_every_endpoint_says_where_linq_answers_without_a_body(rows: dict[str, Row]) -> None:
    silent = {name for name, endpoint in ENDPOINTS.items() if endpoint.needs is None}
    differing = silent ^ {name for name, row in rows.items() if row.answer is None}
    assert not differing, "Give these needs=None in linq/endpoints.py if, and only if, their 2xx has no body."


# --- sent, although the response is flawed ----------------------------------------------------------------------------


def places(value: Any, path: str = "") -> Iterator[str]:
    """Yield every path in a response, such as `message.parts.0.value`."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        place = f"{path}{key}"
        yield place
        if isinstance(each, dict | list):
            yield from places(each, f"{place}.")


def damaged(answer: Any, place: str, value: Any) -> Any:
    """Return a copy of a response with another value at a path; `...` as the value removes the path."""
    copy = json.loads(json.dumps(answer))
    *path, last = place.removesuffix("[]").split(".")
    holder = copy
    for key in path:
        holder = holder[int(key) if isinstance(holder, list) else key]
    if value is ...:
        del holder[int(last) if isinstance(holder, list) else last]
    else:
        holder[int(last) if isinstance(holder, list) else last] = value
    return copy


def is_needed(place: str, needed: str) -> bool:
    return needed == place or needed.startswith(f"{place}.")


async def test_a_send_whose_answer_has_an_id_was_sent_whatever_else_is_wrong(
    rows: dict[str, Row], subtests: pytest.Subtests
) -> None:
    wrong_values: list[Any] = [..., None, 7, "no such thing", [], {}, [{"id": []}]]
    for name, needed in SENDS.items():
        row, linq = rows[name], Script()
        async with client_over(linq) as client:
            for place in [place for place in places(row.answer) if not is_needed(place, needed)]:
                with subtests.test(name=name, place=place):
                    for wrong in wrong_values:
                        linq.steps = [answer(202, damaged(row.answer, place, wrong))]
                        assert attrgetter(needed)(await row.write(client)), wrong


async def test_what_does_not_fit_is_left_out_and_the_rest_stays(rows: dict[str, Row]) -> None:
    row = rows["chats.messages.send"]
    wrong = {
        "sent_at": "soon",
        "is_read": "perhaps",
        "effect": {"name": 7, "type": "screen"},
        "from_handle": {"id": "?"},
    }
    body = {"chat_id": 5, "message": {**row.answer["message"], **wrong}}
    sent = await accepted(row, answer(202, body))
    assert (sent.chat_id, sent.message.id) == (row.scene.chat, row.answer["message"]["id"])
    assert sent.message.delivery_status == "pending"
    assert (sent.message.sent_at, sent.message.is_read, sent.message.from_handle) == (None, None, None)
    assert (sent.message.effect.name, sent.message.effect.type) == (None, "screen")
    assert sent.message.parts[0].value == "Hello!"
    kept = rows["messages.retrieve"]
    assert (await accepted(kept, answer(200, kept.answer))).text == "hi"


async def test_a_list_is_not_read_without_its_wrong_items(rows: dict[str, Row]) -> None:
    body = {"messages": [{"id": SENT, "chat_id": CHAT}, {"text": "secret words"}], "next_cursor": None}
    caught, linq = await refused(rows["chats.messages.list"], answer(200, body))
    assert caught.status == 200
    assert type(caught) is LinqApiError
    assert "messages.1.id" in str(caught)
    assert "secret" not in str(caught)
    assert len(linq.requests) == 1


async def test_null_in_the_place_of_a_list_is_an_empty_list(rows: dict[str, Row], subtests: pytest.Subtests) -> None:
    for row in [row for row in rows.values() if str(ENDPOINTS[row.name].needs).endswith("[]")]:
        with subtests.test(row=row.name):
            place = str(ENDPOINTS[row.name].needs)
            found = await accepted(row, answer(200, damaged(row.answer, place, None)))
            listed = found if isinstance(found, Page) else attrgetter(place.removesuffix("[]"))(found)
            assert len(listed) == 0


@pytest.mark.parametrize("body", [b"{}", b'{"experiences": null}'])
async def test_an_account_without_experiences_has_an_empty_list(rows: dict[str, Row], body: bytes) -> None:
    assert len(await accepted(rows["experiences.list"], reply(200, body))) == 0


async def test_what_is_null_within_a_list_is_read_as_absent(rows: dict[str, Row]) -> None:
    chat: dict[str, Any] = {"id": CHAT, "handles": None, "is_group": None, "display_name": "Dana"}
    body = {"chats": [chat, chat | {"handles": [{"handle": "+14155550142"}]}], "next_cursor": None}
    first, second = await accepted(rows["chats.list_chats"], answer(200, body))
    assert (first.id, first.handles, first.is_group, first.display_name) == (CHAT, (), False, "Dana")
    assert [each.handle for each in second.handles] == ["+14155550142"]


async def test_null_is_no_id(rows: dict[str, Row]) -> None:
    body: dict[str, Any] = {"chats": [{"id": None, "handles": []}], "next_cursor": None}
    caught, _ = await refused(rows["chats.list_chats"], answer(200, body))
    assert "chats.0.id" in str(caught)
