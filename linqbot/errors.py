"""The errors that a bot can meet, drawn as one tree. Those of commands stand in the modules that raise them.

    LinqbotError
      InvalidSignature      a POST to the webhook is not from Linq, or its timestamp is wrong
        StaleSignature        genuine, but signed more than five minutes away from the server's clock
      EventNotUnderstood    an authentic event without the ids its class needs, or no event at all; kept as a dead letter (linq/events/parse.py)
      ConfigError           a setting is missing or wrong; the CLI shows it without a traceback, exit code 2
        NoBot                 there is no such file or module, or it has no Bot
        KeyMissing            Linq's API key is not set, or is no key
        SecretMissing         there is no webhook secret, or one is no secret of Linq's
        PortTaken             the address cannot be listened on
        StorageMisplaced      the storage cannot be where LINQBOT_STORAGE says
        SettingWrong          a setting does not exist, or its value does not fit
      BotError              a bot was written in a way that cannot work; raised at start-up where possible
        StartFailed           a function of @bot.on_start, or a resource, failed; the bot does not start
        NeverAwaited          a handler called ctx.reply() or another call without await; nothing was sent
        ConversationTooLong   a handler asks more questions, or keeps more, than a conversation may hold
      StateUnreadable       stored state does not fit the model that a handler asked for; it is kept
      AskEnded              a question of ctx.ask ended without an answer; a handler may end with it
        AskTimeout            no answer came in time
        AskCancelled          the person or the operator ended it: `reason`
        PersonUnreachable     a person who is named in who= or also= cannot be asked
      DeliveryRejected      a delivery that the bot cannot handle; its sender is answered 422
      StreamStalled         the source of ctx.stream was silent for too long; what was said stays
      Ambiguous             a step of ctx.once was cut off; it is unknown if it was done
      RuleBroken            a call to Linq would break one of Linq's rules R1-R96; nothing was sent
      FetchRefused          a media address that must not be fetched
      FetchFailed           media that could not be fetched
      SendMissed            a scheduled send came too late, or cannot be read; kept as a dead letter
      PostNotUnderstood     the data of a post does not fit the handler's model; kept as a dead letter
      Refused               outbound middleware vetoed a call; nothing was sent
        Stopped               the bot itself does not make a call now; nothing was sent
          Muted                 it is for a chat in which the bot is muted
          Withheld              the bot's own manners forbid it
      NoVerdict             a required plugin failed instead of deciding; nothing was sent, the turn is deferred
      LinqApiError          Linq answered with an error: status, code, message, doc_url, trace_id
        AmbiguousCall         a call that must not be repeated was cut off; the operator decides
        MessageGone           the message was sent under this key before, and was deleted afterwards
        CallSkipped           a call that new code makes in a part of a conversation that is over; it was not made
        RateLimited           429: wait `retry_after_s`
        LinqUnavailable       5xx, timeout, connection refused, a response that is not Linq's: safe to repeat with the
                              same idempotency key
      StorageError
        StorageUnavailable    disk full, file locked or gone: nothing was written
        StorageBusy           the backlog is full; the sender should deliver again later
          LaneFull              the backlog of one chat is full; deliveries of other chats are accepted
        LeaseLost             another worker may hold this lane now; nothing was written
        StateConflict         state was changed since it was read; nothing was written, and the turn runs again
      StateChanged          another turn changed state that this one had stored with a call; the next call was not made

TurnDeferred and Suspended are outside the tree. They are BaseExceptions that end a handler: TurnDeferred at a call that
must wait, Suspended at a question.

Lower folders raise errors; `engine` and `server` decide what to do about them. The messages of these errors end up in
logs, so they never hold a secret, a phone number or the text of a message.

`linqbot explain CODE` prints the docstring of a class: its meaning, then its paragraphs `Why:` and `To do:`. Every
class with its own `lqb` has both paragraphs, in whatever module it is defined.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, TypeAlias


def error_name(error: BaseException | type[BaseException]) -> str:
    """Return the name of an error's class, as the code has it: it may be logged, shown and counted.

    A class that was made at run time may have a text of a person as its name. So of a class that no code names, return the
    name of the nearest base class that code names.
    """
    of = error if isinstance(error, type) else type(error)
    return next(kind.__name__ for kind in of.__mro__ if _is_in_code(kind))


def _is_in_code(kind: type) -> bool:
    """Return True for a class that a module has under its name, or that a function defines with a `class` statement."""
    name, path = kind.__name__, kind.__qualname__
    if path != name and path.endswith(f".{name}") and ".<locals>." in path:
        return name.isidentifier()
    found: object = sys.modules.get(kind.__module__)
    for part in path.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return isinstance(found, type) and found.__name__ == name


class LinqbotError(Exception):
    """The base class of all errors that linqbot raises. Each class has a stable code, its `lqb`.

    Why: Catch this class to catch every error of linqbot. The error that you see is of a subclass with its own code.
    To do: Look up the code of the subclass. `linqbot explain` lists all codes.

    Attributes:
        is_final: True if the same code must raise this error again for the same event. The worker does not retry such a
            turn.
    """

    lqb: ClassVar[str] = "LQB1000"
    is_final: bool = False


class InvalidSignature(LinqbotError):
    """A POST to the webhook was not signed with any of the configured secrets. It was answered 401.

    Why: A stranger posts to the webhook's address; or the secret belongs to another subscription; or a proxy changed
        the body or removed the `webhook-*` headers.
    To do: Nothing, if it was a stranger. If Linq's own deliveries are refused, compare LINQ_WEBHOOK_SECRET with the
        signing secret that was shown when the subscription was created, and let proxies pass body and headers
        unchanged. At its next start the bot fetches the messages that it refused after the last accepted delivery.
    """

    lqb = "LQB2001"


class StaleSignature(InvalidSignature):
    """A genuine signature is more than 300 s older or newer than the server's clock. It was answered 503.

    Why: The clock of this machine is wrong, or the delivery was held up for more than five minutes.
    To do: Set the clock, and keep it correct with NTP. Linq delivers again, so nothing is lost until then.

    Attributes:
        age_s: Seconds that the server's clock is ahead of the signed time; negative if Linq's clock is ahead.
    """

    lqb = "LQB2002"

    def __init__(self, message: str, *, age_s: float) -> None:
        super().__init__(message)
        self.age_s = age_s


class ConfigError(LinqbotError):
    """A setting or a file is missing or wrong, so linqbot does not start. Nothing was done.

    Why: An environment variable, a line of linqbot.toml or an argument is not valid; the message names it.
    To do: Correct what the message names.
    """

    lqb = "LQB1001"


class NoBot(ConfigError):
    """There is no such file or module, or it has no Bot at its top level. Nothing was started.

    Why: The path is relative to another folder; or the bot is made inside a function; or the file has several Bots.
    To do: Name the file that has `bot = Bot()`, such as bot.py; one of several Bots is bot.py:name.
    """

    lqb = "LQB1004"


class KeyMissing(ConfigError):
    """Linq's API key is not set, or cannot be a key. Nothing was sent.

    Why: The shell, the container or the service does not have LINQ_API_V3_API_KEY; linqbot does not read an .env file.
    To do: Set LINQ_API_V3_API_KEY to the API token from your Linq dashboard. Without an account: `linqbot dev`.
    """

    lqb = "LQB1005"


class SecretMissing(ConfigError):
    """There is no webhook secret, or one cannot be a secret of Linq's, so that no webhook could be verified.

    Why: The bot was not subscribed from this machine; or the secret was copied in part.
    To do: Subscribe with `linqbot connect sync`, which keeps the secret. Or set LINQ_WEBHOOK_SECRET to what Linq showed
        when the subscription was created; it begins with whsec_.
    """

    lqb = "LQB1006"


class PortTaken(ConfigError):
    """The address cannot be listened on.

    Why: Another program uses the port, such as a second linqbot; or the address is none of this machine; or this user may
        not use the port.
    To do: Stop what uses it, or choose another one: `--port`, LINQBOT_PORT or LINQBOT_HOST.
    """

    lqb = "LQB1007"


class StorageMisplaced(ConfigError):
    """The storage cannot be where LINQBOT_STORAGE or `--storage` says. Nothing was written.

    Why: The folder of the file does not exist, or this user may not write to it; or the file belongs to another program;
        or the URL is misspelt; or the file was replaced while a process serves it.
    To do: Create the folder, or correct the URL: sqlite:///linqbot.db, postgresql://user@host/name or memory://. Put a file
        that was replaced back.
    """

    lqb = "LQB1008"


class SettingWrong(ConfigError):
    """A setting does not exist, or its value does not fit, so linqbot does not start.

    Why: An environment variable or a line of linqbot.toml is misspelt, or has a value of another type.
    To do: Correct the setting that the message names. `linqbot serve --help` lists them all.
    """

    lqb = "LQB1009"


class BotError(LinqbotError):
    """The code of the bot cannot work, because of a handler's signature or a filter that never fits, for example.

    Why: linqbot checks handlers and filters when they are registered, so that mistakes show before a person writes.
    To do: Change the handler as the message says. `mypy --strict` finds most of these mistakes before the bot runs.
    """

    lqb = "LQB5001"
    is_final = True


class StartFailed(BotError):
    """A function of `@bot.on_start`, or a resource, raised an error or took too long, so the bot does not start.

    Why: It runs before the first event, and what it prepares would be missing in handlers.
    To do: Correct the line that the message names, or what it needs, such as a database that cannot be reached.
    """

    lqb = "LQB5013"


class NeverAwaited(BotError):
    """A handler called `ctx.reply()`, or another call of linqbot, without `await`. Nothing was sent.

    Why: A call of an `async def` function only makes a coroutine. Its code runs when the coroutine is awaited.
    To do: Put `await` before the call. In a handler that is a plain `def`, return the text instead, or make the handler
        an `async def`. Then handle the event again: `linqbot waiting retry`. mypy and pyright find this mistake.

    Attributes:
        at: `file:line` of the call; None if it is not known.
    """

    lqb = "LQB5004"

    def __init__(self, message: str, *, at: str | None = None) -> None:
        super().__init__(message)
        self.at = at


class ConversationTooLong(BotError):
    """A handler that asks with `ctx.ask` has more questions or journal entries than a conversation may have.

    Why: With each answer the handler runs again from its start, through everything that it asked, sent and did before. So
        a conversation without an end becomes slower with each answer. A loop around `ctx.ask` that never ends is the
        usual cause; a result of `ctx.once` that holds a file or a picture is another one.
    To do: Let the handler end, keep what it has learned in `ctx.state`, and go on with the person's next message. Keep
        files and other large results elsewhere, and return their path or id from `ctx.once`.
    """

    lqb = "LQB5010"


class StateUnreadable(LinqbotError):
    """A value of `ctx.state` is stored in a form that its model cannot read. The value is kept as it is.

    Why: The model was changed: a field has another type, or a new validator refuses what was stored earlier. Or the value
        was edited by hand.
    To do: Let the model read the old form too, for example with a `field_validator(mode="before")`, and retry the dead
        letters with `linqbot waiting retry`. Or correct the value: `linqbot person show` and `linqbot person edit`.
    """

    lqb = "LQB5005"
    is_final = True


class RuleBroken(LinqbotError):
    """A call would break one of Linq's documented rules, so it was not sent.

    Why: Linq would have answered with the status and code of this error. Checking here saves the round trip.
    To do: Correct the value that the message names. `linqbot explain` explains each rule by its name, such as R22.

    Attributes:
        rule: The rule's name, `R1` to `R96`.
        status, code: What Linq would have answered.
    """

    lqb = "LQB3001"
    is_final = True

    def __init__(self, message: str, *, rule: str, status: int, code: int) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
        self.status = status
        self.code = code


class FetchRefused(LinqbotError):
    """Media was not fetched, or not uploaded, because its URL is not allowed or the file is too large.

    Why: Other people choose these URLs. The client does not connect to a private network or without https, and does not
        read a file that is larger than the limit.
    To do: Use a public https URL, or pass the bytes yourself. A retry would end the same way.
    """

    lqb = "LQB3101"
    is_final = True


class FetchFailed(LinqbotError):
    """Media could not be fetched or uploaded: no response, an error, a response that was cut off, or a timeout.

    Why: The server is down, or its link has expired; Linq's own links are short-lived.
    To do: Try again. For an attachment of Linq's, first get a new link with `client.attachments.retrieve`.

    Attributes:
        status: The HTTP status of the response, or None.
    """

    lqb = "LQB3102"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SendMissed(LinqbotError):
    """A scheduled send was not made, and is kept as a dead letter.

    Why: The send is later than its `grace_s` allows, because no process ran when it was due, because the bot was
        muted in the chat, or because the handler scheduled it only after an outage or in a late retry; or another
        release stored it in a form that this one cannot read.
    To do: If the message is still wanted, send it by hand: `linqbot send`. To allow future sends after a longer
        downtime or mute, schedule them with a longer `grace_s`.
    """

    lqb = "LQB3009"


class PostNotUnderstood(LinqbotError):
    """The data of a post does not fit the model of its handler. The post is kept as a dead letter.

    Why: The program that posts and the bot disagree on the fields, as after a change of one of them.
    To do: Correct the model or the program. `linqbot waiting retry` handles the post again with a corrected model.
    """

    lqb = "LQB3011"
    is_final = True


class Refused(LinqbotError):
    """Outbound middleware vetoed a call. The call was not sent and will not be retried.

    A plugin raises this error, with a reason that may be logged. `ctx.reply` and `ctx.send` do not raise it: they
    return `status="refused"`. If the error leaves a handler, the delivery becomes a dead letter.

    Why: Outbound middleware of a plugin decides about every call, for example to send nothing at night.
    To do: Read the reason in the message. If the middleware must not decide about this call, change or remove it.

    Attributes:
        plugin: Name of the plugin whose middleware refused the call.
    """

    lqb = "LQB3002"
    plugin: str | None = None


class Stopped(Refused):
    """The bot itself does not make a call now, for a reason that a subclass names. `ctx.reply` returns its `status`.

    Why: A rule of the bot stands before each call, such as a mute or the bot's manners, and this one forbids the call.
    To do: `linqbot why` shows the rule. To let the call through, change the rule.

    Attributes:
        until: The Unix time at which the call will be made, because it waits; None if it is not made at all.
        word: The name of the reason in logs and in the journal.
        by: The rule that has stopped the call, for the row of the turn.
        why: The reason why a turn has ended, for its row, if its send was stopped.
    """

    lqb = "LQB3014"
    word: ClassVar[str] = "stopped"
    by: ClassVar[str] = "a rule of the bot"
    why: ClassVar[str] = "a rule of the bot stopped the send"

    def __init__(self, message: str, *, until: float | None = None) -> None:
        super().__init__(message)
        self.until = until

    @property
    def status(self) -> Literal["refused", "waiting", "muted"]:
        """The status of the send that was stopped: see `Sent`."""
        return "refused" if self.until is None else "waiting"

    def to_record(self) -> dict[str, object]:
        """Return what the journal keeps of the error: a key with the error's `word`, and what `from_record` needs."""
        return {self.word: str(self), "until": self.until}

    @classmethod
    def from_record(cls, kept: Mapping[str, Any], call: str) -> Self:
        """Return the error again from what the journal keeps of it, for the call of this name."""
        return cls(kept[cls.word], until=kept["until"])


class Muted(Stopped):
    """The bot is muted in the chat that a call is for, so the call was not made. `ctx.reply` returns `status="muted"`.

    Why: `ctx.mute` was called for this chat, so that a person can answer there without the bot.
    To do: Nothing, if a person has taken over. Otherwise end the mute first, with `ctx.unmute` or `ctx.bot.unmute`.
    """

    lqb = "LQB3012"
    word = "muted"
    by = "a mute"
    why = "the bot is muted in this chat"

    @property
    def status(self) -> Literal["muted"]:
        return "muted"

    @classmethod
    def before(cls, call: str) -> Self:
        """Return the error of a call, given by its name, that would have reached a muted chat."""
        return cls(f"The bot is muted in the chat of {call}, so nothing was sent. ctx.unmute ends that.")

    def to_record(self) -> dict[str, object]:
        return {self.word: True}

    @classmethod
    def from_record(cls, kept: Mapping[str, Any], call: str) -> Self:
        return cls.before(call)


class Withheld(Stopped):
    """The bot's own manners forbid a call, so it was not made. `ctx.reply` returns `status="refused"`.

    Why: `Bot(allow_to=…)` names the people who may get messages, and the call is for someone else; or `Bot(manners=…)`
        lets promotional messages wait, or limits their number.
    To do: `linqbot waiting list --withheld` shows each such call with its reason. To let it through, change the option, or
        the `purpose=` of the send.
    """

    lqb = "LQB3013"
    word = "withheld"
    by = "the bot's manners"
    why = "the bot's manners withheld the send"


class NoVerdict(LinqbotError):
    """A required plugin failed, so it neither allowed nor refused a call. Nothing was sent, and the turn is deferred.

    Why: The plugin fails closed: without its decision nothing is sent. It may need something that is away, such as
        a database of opt-outs.
    To do: Fix the plugin; `linqbot check --only plugins` and /readyz name it and show the reason. No message is lost: deferred
        turns run again.
    """

    lqb = "LQB3008"


class TurnDeferred(BaseException):
    """Ends a handler at a call that cannot be made now: Linq is down, asks to wait, or a required plugin failed.

    The turn runs again later, from its start, and no attempt is counted. TurnDeferred is not an Exception, so that
    `except Exception` around a call does not catch it. If a handler catches it anyway, the turn is deferred when the
    handler ends.

    Attributes:
        after_s: Seconds until the turn may run again; None lets the worker decide.
    """

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Suspended(BaseException):
    """Ends a handler at a question, until the answer comes: then the handler runs again from its start.

    Every later use of the context raises Suspended again, so that `finally` and `async with` blocks cannot send.
    Suspended is not an Exception, so that `except Exception` around a question does not catch it.
    """


class AskEnded(LinqbotError):
    """A question of `ctx.ask` ended without an answer, however: `except AskEnded` is "no answer came".

    If a handler does not catch this, it ends without an error.
    """


class AskTimeout(AskEnded):
    """No answer to a question of `ctx.ask` came within its `timeout_s`.

    Why: The person did not answer. After a timeout a message of theirs is an ordinary message again.
    To do: Nothing, or catch the error to say something, or to go on without the answer.
    """

    lqb = "LQB5006"


AskRefusal: TypeAlias = Literal["opted_out", "refused", "unsupported"]
"""The reason why a question could not be asked."""
AskCancellation: TypeAlias = Literal["word", "invalid", "operator", "opted_out", "replaced"]
"""The reason why an open question was cancelled."""


class AskCancelled(AskEnded):
    """A question of `ctx.ask` was ended before it was answered.

    Why: The person wrote a cancel word, opted out with a word such as STOP, or gave no valid answer in all tries; or
        the operator ended the question with `linqbot waiting cancel`; or the person replied to another message of the bot, whose
        handler asks them something else; or a plugin refused to send it, or the bot is muted in the chat; or the chat does not
        support it, such as a request for a location in a group or on SMS.
    To do: Nothing, or catch the error to say something. `reason` tells the cases apart.

    Attributes:
        reason: `word`, `opted_out`, `invalid`, `operator`, `replaced`, `refused` or `unsupported`.
        said: With `invalid`, the text of the last answer, in the run of the handler that it begins; later runs do not have it.
    """

    lqb = "LQB5007"

    def __init__(self, message: str, *, reason: AskCancellation | AskRefusal, said: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.said = said


class PersonUnreachable(AskEnded):
    """A person who is named in `who=` or `also=` of `ctx.ask` cannot be asked, so no answer could come. The question is over.

    Why: The person is not in the chat of the handler, so they are asked in their own direct chat with the bot. They have opted
        out there, or `Bot(allow=…)` or `Bot(allow_to=…)` does not name them, or a plugin or Linq refused the message.
    To do: Read the reason in the message. Catch the error to say something, or to ask another person; `except AskEnded` catches it
        with a timeout and a cancel. If no handler catches it, a person who waits reads that there is no answer, and
        `ask.uncaught` is logged.
    """

    lqb = "LQB5012"

    def __init__(self, why: str) -> None:
        super().__init__(f"A person who is named in who= or also= of ctx.ask cannot be asked. {why}".strip())


class DeliveryRejected(LinqbotError):
    """A delivery that only `linqbot trigger` sends, and that the bot cannot handle. Nothing was stored; the sender reads the message."""


class StreamStalled(LinqbotError):
    """The source of `ctx.stream` gave nothing for `stall_s` seconds. What was said before stays.

    Why: The model, or the network between, hangs; or the model thinks or calls tools for longer than `stall_s`.
    To do: Nothing: the turn runs again and goes on behind the last message. Or catch the error to say something. If the
        source is that slow, raise `stall_s`.

    Attributes:
        stall_s: The seconds.
    """

    lqb = "LQB5009"

    def __init__(self, stall_s: float) -> None:
        super().__init__(f"The source of ctx.stream gave nothing for {stall_s:g} s.")
        self.stall_s = stall_s


class Ambiguous(LinqbotError):
    """A step of `ctx.once` was cut off, so it is unknown if it was done. The operator decides.

    Why: The process died, or was stopped, after the step had begun and before its result was on record. A second call
        might do it twice.
    To do: Look into the other system, by the idempotency key that the step was given. If the other system recognises
        the key, or if the step changes nothing, such as a question to a model, `ctx.once(…, retry=True)` makes the
        call again by itself. `linqbot waiting list --ambiguous` lists such steps.

    Attributes:
        name: The name of the step.
    """

    lqb = "LQB5008"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The step {name} was cut off in an earlier run, so it may have been done, and is not repeated. If it changes "
            "nothing, or the other system recognises its key, write ctx.once(…, retry=True)."
        )
        self.name = name


class LinqApiError(LinqbotError):
    """Linq answered a call with an error.

    Why: The message shows status and code, such as 403/2024, and Linq's explanation.
    To do: Look up Linq's code, for example with `linqbot explain 2024`. If the fault is Linq's, send the trace id to
        Linq's support.

    Attributes:
        status: HTTP status; None if no response came.
        code: Linq's error code, such as 2024; see `linqbot explain`.
        message: Linq's explanation.
        doc_url: Linq's page about the code.
        trace_id: Id of the request, for Linq's support.
        retry_after_s: Seconds that Linq asked to wait, at most an hour; None if Linq named no time.
        call: Name of the call, such as `chats.messages.send`.
    """

    lqb = "LQB3003"
    FINAL_STATUSES: ClassVar = frozenset({400, 405, 410, 413, 414, 415, 422})
    """HTTP statuses with which Linq refuses a call for its content, so that the same call is refused again.

    The others may heal. A 401 ends when the operator changes the key, a 403 with the settings of the account, a 404 or
    a 409 with the state of a chat or a file, a 429 and a 5xx with time.
    """

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
        self.is_final = status in self.FINAL_STATUSES
        super().__init__(message)

    @property
    def summary(self) -> str:
        """The call, the status, the code and the trace id as a sentence, without Linq's explanation, which may quote a value."""
        numbers = "/".join(str(n) for n in (self.status, self.code) if n is not None)
        call = self.call or "a call"
        said = f"Linq answered {call} with {numbers}" if numbers else f"Linq did not answer {call}"
        return f"{said} (trace {self.trace_id})" if self.trace_id else said

    def __str__(self) -> str:
        numbers = "/".join(str(n) for n in (self.status, self.code) if n is not None)
        trace = f" (trace {self.trace_id})" if self.trace_id else ""
        return f"{self.call or 'Linq'} was answered {numbers or 'nothing'}: {self.message}{trace}"


class RateLimited(LinqApiError):
    """Linq answered 429: too many calls. Wait `retry_after_s`.

    Why: Linq accepts 30 messages in 60 s from one line to one person, and in a sandbox 100 a day. Other calls have
        limits too.
    To do: In a handler nothing: the turn is deferred and runs again. Elsewhere wait `retry_after_s`, then repeat the
        call.
    """

    lqb = "LQB3004"


class LinqUnavailable(LinqApiError):
    """Linq did not answer, answered 5xx, or another server answered. Keyed and natural calls may be repeated.

    Why: Linq or the network is down; or LINQ_API_V3_BASE_URL is wrong; or a proxy, a firewall or a captive portal
        answers with its own pages or redirects.
    To do: Check LINQ_API_V3_BASE_URL, and whether this machine can reach it: DNS, firewall, HTTPS_PROXY. In a handler do
        nothing: the turn is deferred, for up to 24 hours, and runs again.

    Attributes:
        is_unsent: True if no byte of the call has left this machine, so Linq has certainly not made it.
    """

    lqb = "LQB3005"
    is_unsent: bool = False


class AmbiguousCall(LinqApiError):
    """A call that must not be repeated was cut off, so it is unknown whether Linq made it. The operator decides.

    Why: For some calls, such as sending a voice memo, Linq accepts no idempotency key. Repeating such a call might
        send twice.
    To do: Look into the chat, and send by hand what is missing. `linqbot replay --id ID --live` handles the whole
        delivery again, and repeats everything that it had sent.
    """

    lqb = "LQB3006"

    def __init__(self, call: str) -> None:
        super().__init__("Its answer was lost, so it may have been made, and it is not made again.", call=call)


class MessageGone(LinqApiError):
    """A send was repeated, but its message had been sent before and deleted since. There is nothing left to do.

    Why: Linq answers 404 to an idempotency key whose message was deleted or has expired, and does not send it again.
    To do: Nothing. To send the text again, send it as a new message.
    """

    lqb = "LQB3007"

    def __init__(self, call: str) -> None:
        super().__init__("It was sent under this key before, and the message was deleted since.", status=404, call=call)


class CallSkipped(LinqApiError):
    """A call was not made, because it is new in a part of a conversation that an earlier answer has ended.

    Why: The bot's code changed while a question of `ctx.ask` was open, and now makes a call before that question which
        it did not make then. A handler that goes on after an answer runs again from its start, without effects.
    To do: Nothing: `ctx.reply`, `ctx.send` and `ctx.bot.send` return `status="skipped"`. Catch this error around
        calls of `ctx.client` and `ctx.bot.broadcast`.
    """

    lqb = "LQB3010"

    def __init__(self, call: str) -> None:
        super().__init__("It is new in a part of the conversation that is over, so it was not made.", call=call)


class StorageError(LinqbotError):
    """An operation of the storage failed. Nothing was written.

    Why: The delivery that was asked for does not exist; or the file was written by a newer linqbot; or the storage was
        used in a way that it does not support.
    To do: The message names the reason. `linqbot waiting list` and `linqbot waiting list --dead` show the stored deliveries.
    """

    lqb = "LQB4001"


class StorageUnavailable(StorageError):
    """The storage cannot be read or written now: disk full, read-only, locked or gone. Nothing was written.

    Why: The disk is full; or the file or its folder may not be written, and the folder must be writable too, for the
        write-ahead log. Or the file was deleted, moved or replaced while the bot used it; then the message says so. Of
        PostgreSQL: the server is away, refuses the user, has no free connection, or the user lacks a right.
    To do: Check the free space, and the owner of the file that LINQBOT_STORAGE names. If another program keeps it locked,
        end that program. If the file was moved, move it back. Of PostgreSQL, correct what the message names. A bot that
        runs answers Linq with 503 until then, and Linq delivers again, so nothing is lost.
    """

    lqb = "LQB4002"


class StorageBusy(StorageError):
    """The backlog is full. Nothing was written; the sender should deliver again later.

    Why: Deliveries arrive faster than the handlers finish, or handlers wait for something that is down.
    To do: `linqbot waiting list` shows the waiting deliveries and the reasons. Until then Linq receives 503 and delivers
        again.
    """

    lqb = "LQB4003"


class LaneFull(StorageBusy):
    """The backlog of one chat is full. Nothing was written; deliveries of other chats are accepted."""


class LeaseLost(StorageError):
    """The lease ended before the turn, so another worker may hold the lane now. Nothing was written.

    Why: The process was suspended, or got no processor time, for longer than its lease on the chat.
    To do: Nothing: everything sent is in the journal and is not sent again. If it happens often, look for handlers that
        block the event loop, and check whether the machine is short of memory.
    """

    lqb = "LQB4004"


class StateConflict(StorageError):
    """A value of `ctx.state` was changed since it was read. Nothing was written.

    Why: Turns of two chats changed the same person's or the bot's state at the same time, or `linqbot person edit` changed
        it while a turn ran.
    To do: In a handler nothing: the call behind the change is not made, and the handler runs again with the
        new value. After `linqbot person edit`, edit again.

    Attributes:
        scope, name: The place of the value.
    """

    lqb = "LQB4005"

    def __init__(self, scope: str, name: str) -> None:
        # The scope may hold a handle, so it is not in the message.
        super().__init__(f"The state {name} was changed since it was read. Nothing was written.")
        self.scope = scope
        self.name = name


class StateChanged(LinqbotError):
    """Another turn has changed a value of `ctx.state` that this turn had stored with an earlier call. The next call was not made.

    The turn cannot run again from its start, because people know of the first change. The value shows what is stored
    now. A later run of the turn meets this error too.

    Why: The handler changed a value, made a call, and changed the same value again. Meanwhile another chat changed it.
    To do: Change a shared value once in a turn, before the call that tells it. Or catch this error around the later call,
        look at the value again, and tell the person what is true now.

    Attributes:
        scope, name: The place of the value.
    """

    lqb = "LQB4006"
    is_final = True

    def __init__(self, scope: str, name: str) -> None:
        super().__init__(
            f"The state {name} was changed by another turn after this turn had stored it with a call. The change after that "
            "call is not stored, and the next call was not made."
        )
        self.scope = scope
        self.name = name
