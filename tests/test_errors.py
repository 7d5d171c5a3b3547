"""Errors can be copied and pickled, whatever their classes take."""

from __future__ import annotations

import copy
import pickle

import pytest

from linqbot.errors import (
    Ambiguous,
    AskCancelled,
    AskTimeout,
    LinqApiError,
    LinqbotError,
    RateLimited,
    RuleBroken,
    StaleSignature,
    StateConflict,
    StreamStalled,
)


def test_an_error_keeps_its_message_and_its_attributes_when_it_is_pickled_or_copied(subtests: pytest.Subtests) -> None:
    errors: list[LinqbotError] = [
        LinqbotError("It broke."),
        RuleBroken("The text is empty.", rule="R27", status=400, code=1002),
        LinqApiError("Linq refused it.", status=403, code=2024, trace_id="t-1", call="messages.send"),
        RateLimited("Too many calls.", status=429, retry_after_s=3.0),
        AskTimeout("No answer came."),
        AskCancelled("The question has ended.", reason="operator"),
        Ambiguous("order"),
        StreamStalled(20.0),
        StaleSignature("The clock is wrong.", age_s=400.0),
        StateConflict("bot", "Guest"),
    ]
    for error in errors:
        with subtests.test(error=repr(error)):
            for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
                assert type(other) is type(error)
                assert str(other) == str(error)
                assert vars(other) == vars(error)
