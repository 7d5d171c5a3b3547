"""The errors of failed waits. They are assertion errors, so that a failed wait is a failed test."""

from __future__ import annotations


class HandlerFailed(AssertionError):
    """A handler raised, or an event was dead-lettered. `__cause__` is the handler's exception, with its traceback.

    Where a test expects the exception, `await phone.errors()` returns it instead.
    """


class NothingCame(AssertionError):
    """The expected reply, tapback or typing did not come, and nothing more happens until the clock moves.

    The message lists what happened instead.
    """
