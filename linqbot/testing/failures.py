"""How a test is told that something went wrong. Assertion errors, so that a failed wait is a failed test."""

from __future__ import annotations


class HandlerFailed(AssertionError):
    """A handler raised, or an event was given up. What the handler raised is the `__cause__`, with its traceback.

    Take it with `await phone.errors()` where it is expected.
    """


class NothingCame(AssertionError):
    """What the test waited for did not come, and nothing more happens by itself. Tells what did happen."""
