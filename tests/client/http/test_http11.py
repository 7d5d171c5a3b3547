"""Requests as bytes: nothing in a path, a method or a header field may become another line or another request."""

from __future__ import annotations

import re

import pytest

from linqbot.client.http.addresses import Origin
from linqbot.client.http.http11 import Request, RequestHeaders, ResponseHeaders

LINQ = Origin("https", "api.linqapp.com", 443)


def test_a_head_is_a_line_the_fields_and_the_length() -> None:
    request = Request("POST", LINQ, "/v3/chats?a=b", RequestHeaders({"Host": LINQ.authority, "X-A": "b"}), b"{}")
    assert request.head() == (
        b"POST /v3/chats?a=b HTTP/1.1\r\nHost: api.linqapp.com\r\nX-A: b\r\nContent-Length: 2\r\n\r\n"
    )
    assert request.head("http://x", b"P: q\r\n") == (
        b"POST http://x/v3/chats?a=b HTTP/1.1\r\nHost: api.linqapp.com\r\nX-A: b\r\nP: q\r\nContent-Length: 2\r\n\r\n"
    )


def test_the_length_is_said_where_it_means_something(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, bytes | None, bytes]] = [
        *((method, None, b"") for method in ("GET", "DELETE")),
        *((method, None, b"Content-Length: 0\r\n") for method in ("POST", "PUT")),
        *(("DELETE", b"abc", b"Content-Length: 3\r\n"), ("POST", b"", b"Content-Length: 0\r\n")),
    ]
    for method, content, line in rows:
        with subtests.test(method=method, content=content):
            head = Request(method, LINQ, "/", RequestHeaders({}), content).head()
            assert head == f"{method} / HTTP/1.1\r\n".encode() + line + b"\r\n"


def test_a_repr_shows_neither_path_nor_content_nor_values() -> None:
    request = Request(
        "POST", LINQ, "/v3/blocked/+1205", RequestHeaders({"Authorization": "Bearer key"}), b"hello there"
    )
    assert not re.search("1205|key|hello", repr(request) + repr(ResponseHeaders({b"a": b"key"})))
    assert "Authorization" in repr(request)


def test_a_field_that_would_become_another_is_refused_without_quoting_it(subtests: pytest.Subtests) -> None:
    values = ("a\r\nEvil: yes", "a\nb", "a\rb", "a\x00b", "schlüssel", "\u2028")
    names = ("X-A\r\nEvil", "X A", "X-A:", "")
    for name, value in [*(("X-A", value) for value in values), *((name, "a") for name in names)]:
        with subtests.test(name=name, value=value):
            with pytest.raises(ValueError, match="header") as caught:
                RequestHeaders({name: value})
            assert value not in str(caught.value) or len(value) == 1
            with pytest.raises(ValueError, match="header"):
                RequestHeaders({"X-B": "b"}).replaced({name: value})


def test_fields_are_replaced_in_any_case_and_never_doubled() -> None:
    fields = RequestHeaders({"Accept": "a", "X-B": "b"}).replaced({"accept": "c", "X-D": "d"})
    assert fields.raw == b"X-B: b\r\naccept: c\r\nX-D: d\r\n"
    assert fields.pairs == (("X-B", "b"), ("accept", "c"), ("X-D", "d"))
    assert RequestHeaders({"A": "1", "a": "2"}).raw == b"a: 2\r\n"
