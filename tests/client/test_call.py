"""A call as data: its key, and its form in the journal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linqbot.client.call import ApiResponse, Call, prepare
from linqbot.linq.endpoints import ENDPOINTS

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.sampled_from(sorted(ENDPOINTS)),
    st.none() | st.dictionaries(st.text(), JSON, max_size=4),
    st.lists(st.tuples(st.text(), st.text()), max_size=3),
)
def test_a_stored_call_comes_back_equal(name: str, body: dict[str, Any] | None, query: list[tuple[str, str]]) -> None:
    call = prepare(name, body=body, query=tuple(query), headers={"Idempotency-Key": "k"})
    again = Call.from_json(call.to_json())
    assert again == call
    assert again.to_json() == call.to_json()


def test_a_call_stored_by_another_release_is_read_as_far_as_it_is_known() -> None:
    stored = b'{"noun":"chats","verb":"create","method":"POST","path":"/v3/chats","safety":"keyed","later":1}'
    assert Call.from_json(stored).name == "chats.create"


def test_the_key_is_written_to_every_place_linq_reads_it(subtests: pytest.Subtests) -> None:
    for name, endpoint in ENDPOINTS.items():
        if not endpoint.key_in:
            continue
        with subtests.test(name=name):
            objects = [place for place in endpoint.key_in if place != "header"]
            call = prepare(name, body={place: {"parts": []} for place in objects})
            keyed = call.with_key("k")
            assert keyed.key == "k"
            assert keyed.body == {place: {"parts": [], "idempotency_key": "k"} for place in objects}
            assert keyed.headers == ({"Idempotency-Key": "k"} if "header" in endpoint.key_in else {})
            assert call.key is None, "the first call is as it was"
            assert keyed.with_key("other").key == "other"


def test_a_value_in_a_path_is_escaped() -> None:
    call = prepare("payment_handles.connection", path={"handle": "+1/5"})
    assert (call.method, call.path) == ("GET", "/v3/payments/handles/%2B1%2F5/connection")


def test_neither_texts_nor_handles_are_in_a_repr() -> None:
    call = prepare(
        "payment_handles.connect",
        path={"handle": "+15550001111"},
        body={"text": "secret words"},
        query=(("to", "a@b.c"),),
    )
    answer = ApiResponse(200, {"text": "secret words"}, {"x": "+15550001111"})
    for shown in (repr(call), repr(answer)):
        assert not any(word in shown for word in ("secret", "555", "a@b.c"))
