"""Every error linqbot raises, drawn as one tree.

    LinqbotError
      InvalidSignature      a POST to the webhook is not from Linq, or its time is off
        StaleSignature        genuine, but signed more than five minutes away from our clock
      EventNotUnderstood    an authentic event without the ids its class needs; kept as a dead letter (events/parse.py)
      ConfigError           a setting is missing or wrong; the CLI shows it without a traceback, exit code 2
      BotError              a bot was written in a way that cannot work; raised at start-up
      RuleBroken            a call to Linq would break one of Linq's rules R1-R96; nothing was sent
      FetchRefused          a media address that must not be fetched (client/http/media_fetch.py)
      FetchFailed           media that could not be fetched
      Refused               outbound middleware vetoed a call; nothing was sent
      NoVerdict             a required plugin could not say yes or no; nothing was sent, the turn is deferred
      LinqApiError          Linq answered with an error: status, code, message, doc_url, trace_id
        AmbiguousCall       a call that must not be repeated was cut off; a person decides
        MessageGone           the message was sent under this key before, and deleted since
        RateLimited           429: wait `retry_after_s`
        LinqUnavailable       5xx, timeout, connection refused, an answer that is not Linq's: safe to repeat with the
                              same idempotency key
      StorageError
        StorageUnavailable    disk full, file locked or gone: nothing was written
        StorageBusy           the backlog is full; the sender should come back later
          LaneFull              the backlog of one chat is full; others are accepted
        LeaseLost             somebody else works on this lane now; nothing was written

TurnDeferred stands outside of the tree: it is a BaseException, which ends a handler at a call that must wait.

Raise where it is known, catch where it is decided: `worker` and `server` decide. No message here ever holds a
secret, a phone number or the text of a message, because these sentences end up in logs.

`linqbot explain CODE` prints a class's docstring: what it means, then its paragraphs `Why:` and `To do:`. Every class
with an `lqb` of its own has both, wherever it is defined.
"""

from __future__ import annotations

from typing import ClassVar


class LinqbotError(Exception):
    """The root of the tree: whatever linqbot raises on purpose. Each class has a stable code, its `lqb`.

    Why: To catch everything linqbot raises, catch this one; what came to you has a code of its own.
    To do: Look the more particular code up. `linqbot explain` lists all.
    """

    lqb: ClassVar[str] = "LQB1000"


class InvalidSignature(LinqbotError):
    """The POST is not from Linq: no signature made with one of our secrets fits these bytes. It was answered 401.

    Why: Somebody else posts to the webhook's address; or the secret is that of another subscription; or a proxy on
        the way changed the body or took the `webhook-*` headers off.
    To do: Nothing, if it was a stranger. If Linq's own deliveries are refused, compare LINQ_WEBHOOK_SECRET with the
        signing secret shown when the subscription was created, and let proxies pass body and headers as they are.
        Messages refused since the last delivery that was taken are fetched at the next start.
    """

    lqb = "LQB2001"


class StaleSignature(InvalidSignature):
    """The signature is genuine, but its time is more than `tolerance_s` away from our clock. It was answered 503.

    Why: This machine's clock is off, or something held the delivery back for more than five minutes.
    To do: Set the clock, and keep it set with NTP. Linq delivers again, so nothing is lost meanwhile.

    Attributes:
        age_s: Seconds our clock is ahead of the signed time; negative when Linq's clock is ahead.
    """

    lqb = "LQB2002"

    def __init__(self, message: str, *, age_s: float) -> None:
        super().__init__(message)
        self.age_s = age_s


class ConfigError(LinqbotError):
    """A setting or a file is missing or wrong, so linqbot does not start. Nothing was done.

    Why: An environment variable, a line of linqbot.toml or an argument does not fit; the message names it.
    To do: Correct what the message names. `linqbot serve --help` lists every setting with its default.
    """

    lqb = "LQB1001"


class BotError(LinqbotError):
    """A bot was written in a way that cannot work: a handler's signature, a filter that never fits, ….

    Why: linqbot checks handlers and filters when they are registered, so that no person has to find it out later.
    To do: Change the handler as the message says. `mypy --strict` finds most of these before they run.
    """

    lqb = "LQB5001"


class RuleBroken(LinqbotError):
    """A call would break one of Linq's documented rules, so it was not sent.

    Why: Linq would have answered it with the status and code the error carries; asking costs a round trip.
    To do: Change what the message names; `linqbot explain` knows each rule by its name, such as R22.

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

    Why: Middleware of the bot or of a plugin, such as one that keeps quiet hours, decides about every call.
    To do: Read its reason in the message. If it must not decide about this call, change or remove that middleware.

    Attributes:
        plugin: Whose middleware it was.
    """

    lqb = "LQB3002"
    plugin: str | None = None


class NoVerdict(LinqbotError):
    """A required plugin failed instead of saying yes or no. Nothing was sent; the turn is deferred and asks again.

    Why: What must agree to every send, such as a journal of opt-outs, could not be asked.
    To do: `linqbot plugins list` and /readyz name the plugin and say why; nobody loses a message meanwhile.
    """

    lqb = "LQB3008"


class TurnDeferred(BaseException):
    """Ends a handler at a call that cannot be made now: Linq is away, asks to wait, or a required plugin failed.

    The turn runs again later, from its start, and no attempt is counted. It is no Exception, so that `except Exception`
    around a call does not swallow it. If a handler swallows it all the same, the turn is deferred when the handler ends.

    Attributes:
        after_s: Seconds until the turn may run again; None lets the worker decide.
    """

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class LinqApiError(LinqbotError):
    """Linq answered a call with an error.

    Why: The message shows it as status/code, such as 403/2024, and Linq's own sentence.
    To do: Look Linq's code up, as in `linqbot explain 2024`. If it is Linq's fault, give its support the trace id.

    Attributes:
        status: HTTP status, or None when no answer came.
        code: Linq's own number, such as 2024; see `linqbot explain`.
        message: Linq's sentence.
        doc_url: Linq's page about the code.
        trace_id: Give it to Linq's support.
        retry_after_s: Seconds Linq asked us to wait, at most an hour; None when it named no time.
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
    """429: too many calls. `retry_after_s` says how long to wait.

    Why: Linq takes 30 messages in 60 s from one line to one person, a sandbox 100 a day; other calls have limits too.
    To do: In a handler nothing: the turn is deferred and goes on by itself. Elsewhere wait `retry_after_s`, then repeat.
    """

    lqb = "LQB3004"


class LinqUnavailable(LinqApiError):
    """Linq did not answer, answered 5xx, or something else answered in its place. A keyed or natural call may be repeated.

    Why: Linq or the way to it is down; or LINQ_API_V3_BASE_URL points elsewhere; or a proxy, a firewall or a captive
        portal answers with pages or redirects of its own.
    To do: In a handler nothing: the turn is deferred, for up to 24 hours, and goes on by itself. If the error stays, try
        the base URL with curl from this machine.
    """

    lqb = "LQB3005"


class AmbiguousCall(LinqApiError):
    """A call that must not be repeated was cut off, so nobody knows whether it was done. A person decides.

    Why: For calls such as a voice memo Linq takes no idempotency key: repeating one might send it twice.
    To do: Look into the chat, and send by hand what is missing. `linqbot inbox replay --id ID --live` handles the whole
        delivery anew, and sends again what it had sent.
    """

    lqb = "LQB3006"

    def __init__(self, call: str) -> None:
        super().__init__("It may have been sent before the process died; it is not sent again blindly.", call=call)


class MessageGone(LinqApiError):
    """A repeated send whose message was deleted since: it was sent, so there is nothing left to do.

    Why: Linq answers 404 to a key whose message was deleted or has expired, and never sends it anew.
    To do: Nothing. To say it again, send it as a new message.
    """

    lqb = "LQB3007"

    def __init__(self, call: str) -> None:
        super().__init__("It was sent under this key before, and the message was deleted since.", status=404, call=call)


class StorageError(LinqbotError):
    """The storage could not do what was asked. Nothing was written.

    Why: What was asked for is not there, or the file was written by a newer linqbot, or used in a way it cannot be.
    To do: The message says which. `linqbot inbox list` and `linqbot inbox dead` show what there is.
    """

    lqb = "LQB4001"


class StorageUnavailable(StorageError):
    """The storage cannot be read or written now: disk full, read-only, locked or gone. Nothing was written.

    Why: The disk or the rights of the file and of its folder; the folder must be writable too, for the write-ahead log.
        Or the file was deleted, moved or replaced while it was served; then the message says so.
    To do: Look at the free space and at who owns the file that LINQBOT_STORAGE names; put a file that was moved back.
        Linq is answered 503 meanwhile and delivers again, so nothing is lost.
    """

    lqb = "LQB4002"


class StorageBusy(StorageError):
    """The backlog is full. Nothing was written; the sender should come back later.

    Why: Deliveries come faster than handlers end, or handlers wait for something that is away.
    To do: `linqbot inbox list` shows what waits and why. Linq is answered 503 meanwhile and delivers again.
    """

    lqb = "LQB4003"


class LaneFull(StorageBusy):
    """The backlog of one chat is full. Nothing was written; deliveries of other chats are accepted."""


class LeaseLost(StorageError):
    """The lease ended before the turn did; the lane may be elsewhere now. Nothing was written.

    Why: The process stood still, suspended or without a processor, for longer than its claim on the chat.
    To do: Nothing; what was sent is in the journal and is not sent again. If it happens often, look for handlers that
        block the event loop, and for a machine that is short of memory.
    """

    lqb = "LQB4004"
