"""Every error linqbot raises, drawn as one tree.

    LinqbotError
      InvalidSignature      a POST to the webhook is not from Linq, or its time is off
        StaleSignature        genuine, but signed more than five minutes away from our clock
      EventNotUnderstood    an authentic event without the ids its class needs; kept as a dead letter (events/parse.py)
      ConfigError           a setting is missing or wrong; the CLI shows it without a traceback, exit code 2
      BotError              a bot was written in a way that cannot work; raised at start-up
      RuleBroken            a call to Linq would break one of Linq's rules R1-R96; nothing was sent
      FetchRefused          a media address that must not be fetched (client/fetch.py)
      FetchFailed           media that could not be fetched
      Refused               outbound middleware vetoed a call; nothing was sent
      NoVerdict             a required plugin could not say yes or no; nothing was sent, the turn is parked
      LinqApiError          Linq answered with an error: status, code, message, doc_url, trace_id
        AmbiguousEffect       a call that must not be repeated was cut off; a person decides
        MessageGone           the message was sent under this key before, and deleted since
        RateLimited           429: wait `retry_after_s`
        LinqUnavailable       5xx, timeout, connection refused: safe to repeat with the same idempotency key
      StorageError
        StorageUnavailable    disk full, file locked or gone: nothing was written
        StorageBusy           the backlog is full; the sender should come back later
        LeaseLost             somebody else works on this lane now; nothing was written

Raise where it is known, catch where it is decided: `worker` and `server` decide. No message here ever holds a
secret, a phone number or the text of a message, because these sentences end up in logs.
"""

from __future__ import annotations

from typing import ClassVar


class LinqbotError(Exception):
    """The root of the tree. Every class has a stable `lqb` code for search and for `linqbot explain`."""

    lqb: ClassVar[str] = "LQB1000"


class InvalidSignature(LinqbotError):
    """The POST is not from Linq: no signature made with one of our secrets fits these bytes."""

    lqb = "LQB2001"


class StaleSignature(InvalidSignature):
    """The signature is genuine, but its time is more than `tolerance_s` away from our clock.

    Attributes:
        age_s: Seconds our clock is ahead of the signed time; negative when Linq's clock is ahead.
    """

    lqb = "LQB2002"

    def __init__(self, message: str, *, age_s: float) -> None:
        super().__init__(message)
        self.age_s = age_s


class ConfigError(LinqbotError):
    """A setting is missing or wrong. Shown by the CLI as one sentence of what and one of what to do."""

    lqb = "LQB1001"


class BotError(LinqbotError):
    """A bot was written in a way that cannot work: a handler's signature, a filter that never fits, ...."""

    lqb = "LQB5001"


class RuleBroken(LinqbotError):
    """A call would break one of Linq's documented rules, so it was not sent.

    Attributes:
        rule: The rule's name, `R1` to `R96`.
        status, code: What Linq would have answered.
    """

    lqb = "LQB3001"

    def __init__(self, message: str, *, rule: str, status: int, code: int) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
        self.status = status
        self.code = code


class Refused(LinqbotError):
    """Outbound middleware said no. The call was not sent and will not be retried.

    Raised by a plugin with a reason that may be logged. `ctx.reply` and `ctx.send` end quietly on it; out of a handler
    it makes a dead letter.

    Attributes:
        plugin: Whose middleware it was.
    """

    lqb = "LQB3002"
    plugin: str | None = None


class NoVerdict(LinqbotError):
    """A required plugin failed instead of saying yes or no. Nothing was sent; the turn is parked and asks again."""

    lqb = "LQB3008"


class LinqApiError(LinqbotError):
    """Linq answered a call with an error.

    Attributes:
        status: HTTP status, or None when no answer came.
        code: Linq's own number, such as 2024; see `linqbot explain`.
        message: Linq's sentence.
        doc_url: Linq's page about the code.
        trace_id: Give it to Linq's support.
        retry_after_s: Seconds Linq asked us to wait.
    """

    lqb = "LQB3003"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        doc_url: str | None = None,
        trace_id: str | None = None,
        retry_after_s: float | None = None,
        call: str = "",
    ) -> None:
        self.message = message
        self.status = status
        self.code = code
        self.doc_url = doc_url
        self.trace_id = trace_id
        self.retry_after_s = retry_after_s
        self.call = call
        super().__init__(message)

    def __str__(self) -> str:
        numbers = "/".join(str(n) for n in (self.status, self.code) if n is not None)
        trace = f" (trace {self.trace_id})" if self.trace_id else ""
        return f"{self.call or 'Linq'} was answered {numbers or 'nothing'}: {self.message}{trace}"


class RateLimited(LinqApiError):
    """429: too many calls. `retry_after_s` says how long to wait."""

    lqb = "LQB3004"


class LinqUnavailable(LinqApiError):
    """Linq did not answer, or answered 5xx. Safe to repeat when the call is keyed or natural."""

    lqb = "LQB3005"


class AmbiguousEffect(LinqApiError):
    """A call that must not be repeated was cut off, so nobody knows whether it was done. A person decides."""

    lqb = "LQB3006"

    def __init__(self, call: str) -> None:
        super().__init__("It may have been sent before the process died; it is not sent again blindly.", call=call)


class MessageGone(LinqApiError):
    """A repeated send whose message was deleted since: it was sent, so there is nothing left to do."""

    lqb = "LQB3007"

    def __init__(self, call: str) -> None:
        super().__init__("It was sent under this key before, and the message was deleted since.", status=404, call=call)


class StorageError(LinqbotError):
    """The storage could not do what was asked."""

    lqb = "LQB4001"


class StorageUnavailable(StorageError):
    """The storage cannot write now: disk full, read-only, locked or gone. Nothing was written."""

    lqb = "LQB4002"


class StorageBusy(StorageError):
    """The backlog is full. Nothing was written; the sender should come back later."""

    lqb = "LQB4003"


class LeaseLost(StorageError):
    """The lease ended before the turn did; the lane may be elsewhere now. Nothing was written."""

    lqb = "LQB4004"
