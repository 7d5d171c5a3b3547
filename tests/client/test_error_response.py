"""Error responses of Linq in every form."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from linqbot.client.call import Call, prepare
from linqbot.client.http.http11 import Response
from linqbot.client.outcome import LONGEST_READ, error_for
from linqbot.errors import LinqApiError, LinqUnavailable

CALL = prepare("phone_numbers.list")
NOW = 1_700_000_000.0
PAGE = b"<!DOCTYPE html><title>Please log in</title>"


def error(status: int, body: Any, headers: dict[str, str] | None = None, call: Call = CALL) -> LinqApiError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_for(call, Response(status, headers or {}, raw), now=NOW, secret="lk_secret")


def v3(code: int = 1005, message: str = "Invalid value", **more: Any) -> dict[str, Any]:
    return {"success": False, "error": {"status": 400, "code": code, "message": message, **more}, "trace_id": "ab12"}


def test_v3_says_code_message_page_and_trace() -> None:
    caught = error(403, v3(2024, "Recipient opted out", doc_url="https://docs.linqapp.com/error/codes/2xxx/2024/"))
    assert (caught.code, caught.message, caught.trace_id) == (2024, "Recipient opted out", "ab12")
    assert caught.doc_url == "https://docs.linqapp.com/error/codes/2xxx/2024/"
    assert str(caught) == "phone_numbers.list was answered 403/2024: Recipient opted out (trace ab12)"


def test_v2_says_it_in_another_envelope() -> None:
    body = {"errors": [{"status": 401, "code": "unauthorized", "title": "Unauthorized", "detail": "Invalid token"}]}
    caught = error(401, body)
    assert (caught.status, caught.code, caught.message) == (401, None, "Invalid token")


def test_a_body_of_another_kind_is_still_an_error_with_its_status(subtests: pytest.Subtests) -> None:
    rows = [
        *(b"", b"<html>Bad gateway</html>", b"\xff\xfe", b"[]", b"null", b'"no"', b'{"error": "no"}'),
        *(b'{"error": null}', b'{"errors": []}', b'{"errors": ["no"]}'),
        b'{"error": {"code": true, "message": 7, "doc_url": [], "retry_after": "soon"}, "trace_id": {}}',
    ]
    for body in rows:
        with subtests.test(body=body):
            caught = error(502, body)
            assert isinstance(caught, LinqUnavailable)
            assert caught.status == 502
            assert {caught.code, caught.doc_url, caught.trace_id, caught.retry_after_s} == {None}
            assert caught.message == "HTTP 502 without an error body of Linq's"


def test_a_3xx_or_4xx_without_linqs_error_body_is_from_another_server(subtests: pytest.Subtests) -> None:
    rows: list[tuple[int, bytes]] = [
        *((status, PAGE) for status in (301, 400, 403, 404, 413)),
        *((status, b"") for status in (302, 405, 409)),
        (407, b"Proxy Authentication Required"),
        (403, b'{"message": "Blocked by policy"}'),
        (403, b'{"error": "blocked"}'),
        (400, b'{"error": {"message": "blocked", "code": null}}'),
        (400, b'{"errors": []}'),
        (400, b'[{"error": {"code": 1005}}]'),
    ]
    for status, body in rows:
        with subtests.test(status=status, body=body):
            caught = error(status, body, {"retry-after": "9999999"})
            assert type(caught) is LinqUnavailable
            assert (caught.status, caught.code, caught.trace_id, caught.retry_after_s) == (status, None, None, 3600)


def test_an_error_of_linqs_is_linqs_in_each_of_its_shapes(subtests: pytest.Subtests) -> None:
    bodies: list[dict[str, Any]] = [
        v3(),
        {"error": {"code": 2024}},
        {"error": {"code": "2024", "message": "m"}},
        {"trace_id": "ab12"},
        {"error": {"message": "m"}, "trace_id": "ab12"},
        {"error": {"message": "m", "trace_id": "ab12"}},
        {"errors": [{"status": 403, "code": "forbidden", "title": "Forbidden"}]},
    ]
    for status, body in product((302, 400, 403, 404, 409, 413), bodies):
        with subtests.test(status=status, body=body):
            caught = error(status, body)
            assert type(caught) is LinqApiError
            assert caught.status == status


PAST, SOON, FAR = "Tue, 14 Nov 2023 22:13:00 GMT", "Tue, 14 Nov 2023 22:13:50 GMT", "Sat, 01 Jan 2090 00:00:00 GMT"


def test_retry_after_is_seconds_or_a_date_and_never_more_than_an_hour(subtests: pytest.Subtests) -> None:
    rows: list[tuple[Any, float | None]] = [
        *(("12", 12.0), (" 12 ", 12.0), ("0.5", 0.5), (7, 7.0), (0.5, 0.5), ("3600", 3600.0)),
        *((date, 30.0) for date in (SOON, SOON.removesuffix(" GMT"), SOON.replace("GMT", "-0000"))),
        # Milliseconds given as seconds, and other values that make no sense.
        *((value, 3600.0) for value in ("120000", 120_000, "1000000000000", 10**400)),
        *((date, 3600.0) for date in (FAR, "Fri, 31 Dec 9999 23:59:59 GMT")),
        *((value, None) for value in (None, "", "0", 0, "-3", -3, -(10**400), "nan", "inf", "-inf", "soon", PAST)),
        *((f"Mon, {date}", None) for date in ("99 Foo 2026 10:00:00 GMT", "20 Nov 2026 10:00:00 +999999")),
        *((value, None) for value in ("Mon, 20 Nov 99999999 10:00:00 GMT", True, [12], {"seconds": 12})),
    ]
    for value, seconds in rows:
        with subtests.test(value=value):
            assert error(429, v3(1007, retry_after=value)).retry_after_s == seconds
            if isinstance(value, str):
                assert error(429, v3(1007), {"retry-after": value}).retry_after_s == seconds


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1e-400"])
def test_a_retry_after_that_json_does_not_know_is_no_wait(number: bytes) -> None:
    body = b'{"error": {"code": 1007, "message": "m", "retry_after": %s}}' % number
    assert error(429, body).retry_after_s is None


@pytest.mark.parametrize(
    ("header", "inner", "seconds"), [("12", 7, 12.0), ("soon", 7, 7.0), (PAST, 7, 7.0), ("-1", None, None)]
)
def test_the_header_is_believed_before_the_body(header: str, inner: int | None, seconds: float | None) -> None:
    assert error(429, v3(1007, retry_after=inner), {"retry-after": header}).retry_after_s == seconds


def test_what_was_sent_is_taken_out_of_linqs_sentence(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str]] = [
        ("Phone number +15551234567 is not E.164", "Phone number … is not E.164"),
        ("(555) 123-4567 is unknown; 2 of 3 left", "(… is unknown; 2 of 3 left"),
        ("chat 550e8400-e29b-41d4-a716-446655440000 is gone", "chat 550e8400-e29b-41d4-a716-446655440000 is gone"),
        ("token lk_secret has expired", "token … has expired"),
        ("ann@example.com is blocked", "… is blocked"),
        ("<ann.b+c@mail.example.com>, bob@b.example", "<…>, …"),
        ("5551234567.ann@example.com and ann@localhost", "… and ann@localhost"),
        ("(555)(555)(555)(555)(555)(555)(555)(555)(555)(555)(555) of 3", "(…)(…) of 3"),
        ("Could not fetch https://example.com/a?token=b now", "Could not fetch … now"),
        ("See https://docs.linqapp.com/error/codes/1xxx/1005/", "See https://docs.linqapp.com/error/codes/1xxx/1005/"),
        ('Text "my dog died" has a link', 'Text "…" has a link'),
        ("No line may write to Ann today", "No line may write to … today"),
        ("effect confetti goes with type screen", "effect confetti goes with type screen"),
    ]
    for said, kept in rows:
        with subtests.test(said=said):
            message = {"parts": [{"type": "text", "value": "my dog died"}], "effect": {"name": "confetti"}}
            call = prepare("chats.create", body={"to": ["Ann"], "message": message})
            caught = error(400, v3(message=said), call=call)
            assert caught.message == kept


def test_a_sentence_without_end_is_cut() -> None:
    assert len(error(400, v3(message="no " * 5000)).message) == 500


def test_a_sentence_too_long_to_be_searched_is_left_out_as_a_whole() -> None:
    call = prepare(
        "chats.create", body={"to": ["Ann"], "message": {"parts": [{"type": "text", "value": "my dog died"}]}}
    )
    longest = ("my dog died " * LONGEST_READ)[:LONGEST_READ]
    assert "dog" not in error(400, v3(message=longest), call=call).message
    assert error(400, v3(message=longest + "!"), call=call).message == "HTTP 400 without an error body of Linq's"


@pytest.mark.parametrize("code", ["9" * 5000, 10**4000, "1e3", -(10**400), 1.5, True])
def test_a_code_that_no_code_can_be_is_left_out(code: Any) -> None:
    caught = error(400, {"error": {"code": code, "message": "m"}, "trace_id": "ab12"})
    assert (caught.code, caught.message) == (None, "m")


def test_a_trace_id_too_long_for_a_log_is_left_out() -> None:
    caught = error(400, {**v3(doc_url="https://docs.linqapp.com/" + "a" * 500), "trace_id": "a" * 500})
    assert (caught.trace_id, caught.doc_url) == (None, None)
