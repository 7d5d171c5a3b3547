"""One table of errors: each decides if a turn that it ended is deferred, repeated or given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import structlog
from fakes import NOW, delivery, text_body

from linqbot.engine.failure import (
    MAX_CONFLICTS,
    STORAGE_PAUSE_S,
    RetryPolicy,
    TurnFailure,
    decide,
    unreachable,
)
from linqbot.errors import (
    AmbiguousCall,
    BotError,
    LinqApiError,
    LinqUnavailable,
    MessageGone,
    Muted,
    RateLimited,
    Refused,
    RuleBroken,
    StateConflict,
    StorageUnavailable,
    TurnDeferred,
    Withheld,
)
from linqbot.storage.inbox import DeadLetter, Defer, Lease, Retry

POLICY = RetryPolicy(attempts=3)
FIRST = Lease(delivery(text_body("hi")), 1)
OLD = replace(FIRST, delivery=replace(FIRST.delivery, received_at=NOW - POLICY.defer_for_s - 1))
BUSY = RateLimited("busy", status=429, retry_after_s=7)
CONFLICT = StateConflict("person", "guest")
STOPPED = TurnDeferred("stopped")
STOPPED.__cause__ = CONFLICT


def answered(status: int) -> LinqApiError:
    return LinqApiError("no", status=status, code=1005, call="chats.messages.send")


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("several", errors)


@pytest.mark.parametrize(
    ("error", "lease", "ends_as"),
    [
        (TurnDeferred("later", after_s=5), FIRST, 5),
        (TurnDeferred("later"), FIRST, POLICY.defer_s),
        (BUSY, FIRST, 7),
        (LinqUnavailable("away", retry_after_s=1e9), FIRST, POLICY.longest_defer_s),
        (answered(401), replace(FIRST, attempts=2), POLICY.defer_s),
        (StorageUnavailable("locked"), FIRST, STORAGE_PAUSE_S),
        (group(ValueError(), group(BUSY)), FIRST, 7),
        (group(MessageGone("chats.create"), BUSY), FIRST, 7),
        (group(ValueError(), answered(401)), replace(FIRST, attempts=2), POLICY.defer_s),
        (BUSY, OLD, DeadLetter),
        (BUSY, replace(OLD, put_back=True), 7),
        (CONFLICT, FIRST, 0),
        (STOPPED, FIRST, 0),
        (CONFLICT, replace(FIRST, delivery_count=MAX_CONFLICTS), Retry),
        (ValueError(), FIRST, Retry),
        (ValueError(), OLD, Retry),
        (group(ValueError()), replace(FIRST, attempts=1), Retry),
        (ValueError(), replace(FIRST, attempts=2), DeadLetter),
        *((answered(status), FIRST, Retry) for status in (403, 404, 409)),
        *((answered(status), FIRST, DeadLetter) for status in (400, 422)),
        (RuleBroken("no such effect", rule="R33", status=400, code=1002), FIRST, DeadLetter),
        (BotError("An object of type int cannot be sent."), FIRST, DeadLetter),
        (group(answered(400), ValueError("may heal")), FIRST, Retry),
        (group(answered(400)), FIRST, DeadLetter),
        (Refused("not now"), FIRST, DeadLetter),
        (AmbiguousCall("chats.create"), FIRST, DeadLetter),
    ],
)
def test_a_failed_turn_is_deferred_repeated_or_given_up(error: BaseException, lease: Lease, ends_as: Any) -> None:
    end = decide(lease, TurnFailure(error, "answer"), POLICY, now=NOW)
    if isinstance(end, Defer):
        assert end.at - NOW == ends_as
    else:
        assert type(end) is ends_as


def test_the_log_has_linqs_numbers_and_says_why_a_turn_is_not_run_again() -> None:
    with structlog.testing.capture_logs() as logs:
        for status in (403, 400, 401):
            decide(FIRST, TurnFailure(answered(status), "answer"), POLICY, now=NOW)
    failed, dead, deferred = logs
    for line, status in ((failed, 403), (dead, 400)):
        assert (line["call"], line["status"], line["code"]) == ("chats.messages.send", status, 1005)
    assert [line["event"] for line in logs] == ["turn.failed", "turn.dead_lettered", "turn.deferred"]
    assert dead["why"] == "A retry would fail in the same way."
    assert deferred["reason"] == "Linq answered chats.messages.send with 401/1005. Check LINQ_API_V3_API_KEY."


def test_the_dead_letter_of_a_refused_call_names_who_refused_it() -> None:
    of_plugin = Refused("not now")
    of_plugin.plugin = "policy"
    rows: list[tuple[Refused, str]] = [
        (of_plugin, "policy"),
        (Refused("not now"), "outbound middleware"),
        (Muted("not now"), "a mute"),
        (Withheld("not now"), "the bot's manners"),
    ]
    ends = [decide(FIRST, TurnFailure(error, "answer"), POLICY, now=NOW) for error, _ in rows]
    assert ends == [DeadLetter(f"A call was refused by {by}: not now", "answer") for _, by in rows]


def test_a_reason_that_no_storage_keeps_is_shortened_and_its_half_characters_are_replaced() -> None:
    for reason, kept in [
        ("half an emoji: \ud83d, and \x00", "half an emoji: \ufffd, and \ufffd"),
        ("x" * 5_000_000, "characters left out"),
    ]:
        end = decide(FIRST, TurnFailure(Refused(reason), "answer"), POLICY, now=NOW)
        assert isinstance(end, DeadLetter)
        assert kept in end.error
        assert len(end.error) < 30_000


def test_a_person_is_out_of_reach_after_an_opt_out_and_where_the_bot_left_or_may_not_speak() -> None:
    rows: list[tuple[BaseException | None, str | None]] = [
        (LinqApiError("opted out", status=403, code=2024), "opted_out"),
        (LinqApiError("left", status=409), "left"),
        (LinqApiError("no line can send", status=409, code=2015), None),
        (LinqApiError("bad request", status=400), None),
        (Muted("muted"), "muted"),
        (Withheld("withheld"), "withheld"),
        (Refused("not now"), None),
        (ValueError(), None),
        (None, None),
    ]
    found = [unreachable(error) for error, _ in rows]
    assert [why and why.word for why in found] == [why for _, why in rows]


def test_an_error_is_named_as_in_the_code_and_its_traceback_is_kept_in_the_dead_letter() -> None:
    class Broken(KeyError): ...

    last = replace(FIRST, attempts=2)
    for kind, shown in (
        (Broken, "Broken"),
        (type("a text of a person", (Broken,), {}), "Broken"),
        (type("Hello", (LookupError,), {}), "LookupError"),
        (type("f.<locals>.Hello", (LookupError,), {}), "LookupError"),
        (LinqApiError, "LinqApiError"),
    ):
        error = kind("secret")
        at = "Linq did not answer a call" if kind is LinqApiError else f"{shown} at bot.py:7"
        retry = decide(FIRST, TurnFailure(error, "answer", at="bot.py:7"), POLICY, now=NOW)
        assert isinstance(retry, Retry)
        assert retry.error == at
        assert retry.details is not None
        assert (retry.details.lines, retry.details.text) == ([shown], None)
        letter = decide(last, TurnFailure(error, "answer", at="bot.py:7"), POLICY, now=NOW)
        assert isinstance(letter, DeadLetter)
        assert (letter.error, letter.failed) == (at, True)
        assert "secret" in letter.whole_error
        assert letter.whole_error.endswith("\nIt was running bot.py:7.\n")
