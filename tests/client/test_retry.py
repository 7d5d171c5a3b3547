"""The retry policy: the full table of cases."""

from __future__ import annotations

import pytest

from linqbot.client.call import prepare
from linqbot.client.outcome import AttemptFailure, pause_s
from linqbot.errors import LinqApiError, LinqUnavailable

READ = prepare("chats.retrieve")
NATURAL = prepare("messages.update", body={"text": "x"})
KEYED = prepare("chats.messages.send", body={"message": {}}).with_key("k")
KEYLESS = prepare("chats.messages.send", body={"message": {}})
ONCE = prepare("chats.send_voicememo", body={})
HINT = prepare("chats.typing.start")

REFUSED = AttemptFailure(LinqUnavailable("refused"), sent=False)
LOST = AttemptFailure(LinqUnavailable("lost"))
STALE = AttemptFailure(LinqUnavailable("lost"), is_stale=True)


def said(status: int, retry_after_s: float | None = None) -> AttemptFailure:
    kind = LinqUnavailable if status == 408 or status >= 500 else LinqApiError
    return AttemptFailure(kind("no", status=status, retry_after_s=retry_after_s))


def not_linqs(status: int) -> AttemptFailure:
    return AttemptFailure(LinqUnavailable("not Linq's", status=status))


def test_a_call_is_repeated_only_when_that_is_safe(subtests: pytest.Subtests) -> None:
    rows: list[tuple[AttemptFailure, str]] = [
        #                 read natural keyed keyless once hint
        (REFUSED, "      yes  yes     yes   yes     yes  no"),
        (LOST, "         yes  yes     yes   no      no   no"),
        (STALE, "        yes  yes     yes   no      no   yes"),
        (said(408), "    yes  yes     yes   no      no   no"),
        (said(429), "    yes  yes     yes   yes     yes  no"),
        (said(500), "    yes  yes     yes   no      no   no"),
        (said(503), "    yes  yes     yes   no      no   no"),
        (said(599), "    yes  yes     yes   no      no   no"),
        (said(307), "    no   no      no    no      no   no"),
        (said(400), "    no   no      no    no      no   no"),
        (said(401), "    no   no      no    no      no   no"),
        (said(403), "    no   no      no    no      no   no"),
        (said(404), "    no   no      no    no      no   no"),
        (said(409), "    no   no      no    no      no   no"),
        (not_linqs(200), "yes yes yes no no no"),
        (not_linqs(302), "yes yes yes no no no"),
        (not_linqs(403), "yes yes yes no no no"),
        (not_linqs(409), "yes yes yes no no no"),
        (said(429, retry_after_s=60), "yes yes yes yes yes no"),
        (said(429, retry_after_s=61), "no no no no no no"),
        (said(503, retry_after_s=5), "yes yes yes no no no"),
    ]
    for failure, repeated in rows:
        with subtests.test(failure=failure):
            calls = (READ, NATURAL, KEYED, KEYLESS, ONCE, HINT)
            decisions = [
                "no" if pause_s(call, failure, 0, max_wait_s=60, jitter=0) is None else "yes" for call in calls
            ]
            assert decisions == repeated.split()


def test_the_wait_doubles_up_to_eight_seconds(subtests: pytest.Subtests) -> None:
    rows: list[tuple[int, float]] = [(0, 0.5), (1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (30, 8.0)]
    for attempt, seconds in rows:
        with subtests.test(attempt=attempt, seconds=seconds):
            assert pause_s(READ, LOST, attempt, max_wait_s=60, jitter=0) == seconds
            assert pause_s(READ, LOST, attempt, max_wait_s=60, jitter=1) == seconds * 0.75


def test_after_a_connection_that_was_stale_the_first_repetition_does_not_wait() -> None:
    assert pause_s(READ, STALE, 0, max_wait_s=60, jitter=0) == 0.0
    assert pause_s(READ, STALE, 1, max_wait_s=60, jitter=0) == 1.0
