"""The bodies of the control API that are not acts: faults, clock, webhooks again, reset, and the reports of a bot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from linqbot.emulator.acts.conversation import Body, parsed_time
from linqbot.emulator.emulator import BotRunner, Emulator
from linqbot.emulator.model.answers import conflict, invalid
from linqbot.emulator.model.documents import iso
from linqbot.emulator.model.faults import Fault, Lost, Place


class OnEmulator(Body, ABC):
    """A body that is performed on the emulator and on the program that runs the bot, if there is one."""

    @abstractmethod
    async def perform(self, emulator: Emulator) -> Mapping[str, Any] | None:
        """Do it, and return the answer; None is an empty object.

        Raises:
            ApiError: it is not possible now.
        """


class AddFault(OnEmulator):
    """Make the next matching calls, deliveries, messages or chat changes go wrong. The answer has the fault's `id`."""

    on: Place = Field(description="A call to the API, a webhook, the fate of a sent message, or the change of a chat.")
    match: str = Field(
        "",
        description="A part of `METHOD /v3/path` or of the endpoint's name, such as `chats.messages.send`; or of the "
        "subscription id, event type, chat id or handle; or, for `chat`, of `group_name`, `group_icon`, `background` or "
        "the chat id. Empty matches all.",
    )
    status: Annotated[int, Field(ge=200, le=599)] | None = Field(
        None, description="The HTTP status that answers the call, or the delivery in place of the receiver."
    )
    code: int | None = Field(None, description="Linq's error code, in the answer or in the event.")
    retry_after: Annotated[int, Field(ge=0)] | None = Field(None, description="Seconds, in the answer.")
    delay_ms: Annotated[int, Field(ge=0)] = Field(0, description="Milliseconds on the emulator's clock.")
    drop: Lost | None = Field(
        None,
        description="`request` breaks the connection of a call before anything is done, `answer` after it; both in the "
        "middle of an answer. `connection` does nothing and closes the connection without sending a byte. A delivery "
        "with either is not repeated.",
    )
    duplicate: bool = Field(False, description="Deliver twice.")
    reorder: bool = Field(False, description="Deliver after the next event of the same chat.")
    times: Annotated[int, Field(ge=1)] | None = Field(
        1, description="How many matches the fault is for; null lasts until the fault is removed."
    )

    async def perform(self, emulator: Emulator) -> dict[str, Any]:
        return {"id": emulator.add_fault(Fault(**self.model_dump()))}


class SetClock(OnEmulator):
    """Stop the clock, let it run, or move it forward. What is due by then happens.

    The answer has the time as `now`. Under `linqbot dev` the bot's clock moves along: the clocks stop at each time at which
    something is due, and go on when the bot has handled it. If that takes too long, the clocks stay at the time that they
    have reached, and the answer says why as `stopped`. Otherwise `stopped` is null.
    """

    freeze: bool | None = Field(None, description="true stops the clock, false lets it run.")
    advance_s: Annotated[float, Field(ge=0, le=10**9)] | None = Field(None, description="Seconds to move forward.")
    to: str | None = Field(None, description="ISO 8601. Move forward to this time, in place of `advance_s`.")

    async def perform(self, emulator: Emulator) -> dict[str, Any]:
        to, now = parsed_time(self.to), emulator.clock.now()
        if to is None:
            to = now + (self.advance_s or 0.0)
        elif self.advance_s is not None:
            raise invalid("Give either `to` or `advance_s`.")
        elif to < now:
            raise invalid(
                f"The clock moves only forward, and shows {iso(now)}. To return to real time, reset the emulator."
            )
        if self.freeze is not None:
            emulator.freeze(frozen=self.freeze)
        if emulator.runner is None:
            emulator.advance(max(0.0, to - emulator.clock.now()))
            stopped = None
        else:
            if self.freeze is not None:
                await emulator.runner.follow_clock()
            ahead_s = emulator.clock.ahead_s
            stopped = (await emulator.runner.move_to(to)).stopped
            if self.advance_s and stopped is None and not emulator.clock.is_frozen:
                # The move took some of that time itself.
                left_s = self.advance_s - (emulator.clock.ahead_s - ahead_s)
                stopped = (await emulator.runner.move_to(emulator.clock.now() + left_s)).stopped
        return {"now": iso(emulator.clock.now()), "stopped": stopped}


def _event_of(emulator: Emulator, message_id: str) -> str:
    event_id = emulator.world.deliveries.event_of(emulator.state.message(message_id).id)
    if event_id is None:
        raise conflict("The emulator does not know a webhook of this message. Write the message again.")
    return event_id


def _runner(emulator: Emulator) -> BotRunner:
    if emulator.runner is None:
        raise conflict("This emulator does not run the bot. Start both with linqbot dev.")
    return emulator.runner


class DeliverAgain(OnEmulator):
    """Deliver the webhook of a person's message again, as Linq does when an answer was lost.

    It has the same bytes and the same id, so a bot that has stored it recognises a duplicate and does nothing.
    """

    message_id: str

    async def perform(self, emulator: Emulator) -> None:
        emulator.world.deliveries.replay(_event_of(emulator, self.message_id))


class RunAgain(OnEmulator):
    """Let the bot handle a message of a person again, although it has handled it: everything is sent again.

    Unlike `/deliver-again`, after which the bot does nothing. Only under `linqbot dev`; otherwise 409.
    """

    message_id: str

    async def perform(self, emulator: Emulator) -> None:
        await _runner(emulator).run_again(_event_of(emulator, self.message_id))


class Restart(OnEmulator):
    """Return to the state before a message of a person, and write the message again. The answer has its new ids.

    The emulator, the bot's storage and both clocks return to that state, and the bot is started again. What the bot keeps
    elsewhere, such as in a database of its own, stays as it is. Only under `linqbot dev`, for the latest 20 messages;
    otherwise 409.
    """

    message_id: str

    async def perform(self, emulator: Emulator) -> Mapping[str, Any]:
        return await _runner(emulator).restart_from(self.message_id)


class Reset(Body):
    """Start again with two healthy lines and no chats, or with a saved state. The body may be left out."""

    seed: dict[str, Any] | None = Field(None, description="A state in the shape that the emulator saves.")


class _Report(Body):
    """A report of the bot. Fields that are not listed are kept, so a newer bot can show more."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


class TriedFilter(_Report):
    """The answer of one filter of a handler that was tried before the handler that took the event."""

    handler: str = Field(description="Name of the handler, as `module:name`.")
    file: str | None = Field(None, description="Name of the file that defines the handler.")
    line: int | None = Field(None, description="Line of the handler's definition.")
    filter: str = Field(description="Name of the filter.")
    fits: bool = Field(description="The filter's answer.")


class TurnError(_Report):
    """The error that ended a turn."""

    type: str = Field(description="Name of the error's class.")
    message: str = Field("", description="The error's message.")
    file: str | None = Field(None, description="File of the innermost line of the author's code.")
    line: int | None = Field(None, description="Number of that line.")
    code: str | None = Field(None, description="The source of that line.")
    traceback: str | None = Field(None, description="The traceback, as text.")


class TurnNote(_Report):
    """A note on a turn: advice, or something that the handler's author does not see otherwise."""

    title: str | None = Field(None, description="A few words, which the phone shows under the message.")
    message: str = Field(description="One or two sentences.")
    file: str | None = Field(None, description="Name of the file that the note is about.")
    line: int | None = Field(None, description="Line in that file.")


class PreviewedMessage(_Report):
    """A message as a person would see it on one service."""

    kind: str = Field(
        description="`message` for texts and files; else what it is, such as `link`, `poll`, `voice_memo`."
    )
    text: str = Field("", description="Its texts, one on a line; the options of a poll; the address of a link.")
    files: list[str] = Field([], description="Names or addresses of its files.")
    parts: list[dict[str, Any]] = Field([], description="Its parts, as in Linq's API; none if it is a poll or a memo.")
    effect: str | None = Field(None, description="Name of its effect.")


class PreviewedForm(_Report):
    """The messages that a person would see on one service."""

    messages: list[PreviewedMessage] = Field([], description="In their order.")
    degraded: list[str] = Field([], description="What the service does not have, such as `poll` or `effect`.")


class PreviewedSend(_Report):
    """A send of the bot, as it looks on each service."""

    message_ids: list[str] = Field(description="Its messages in the chat.")
    imessage: PreviewedForm = Field(description="On iMessage.")
    rcs: PreviewedForm = Field(description="On RCS.")
    sms: PreviewedForm = Field(description="On SMS.")


class MetQuestion(_Report):
    """An open question of the bot that an event concerns."""

    text: str = Field(description="The question.")
    handler: str = Field(description="Name of the handler that asked, as `module:name`.")
    result: Literal["answered", "invalid", "given_up", "cancelled", "timed_out", "kept_open", "counted"] = Field(
        description="What the event made of it. `invalid`: the person is asked again. `given_up`: that was the last "
        "invalid answer. `kept_open`: another handler took the event. `counted`: a vote, and others may still vote."
    )


class RunStep(_Report):
    """A step of a run: a request to a language model, the call of a tool, or another step of `ctx.once`."""

    name: str = Field(description="Its name, such as that of the tool.")
    said: str = Field("", description="In a few words, how it has ended: with its time and tokens, or its error.")
    remembered: bool = Field(False, description="An earlier run made it, and this run has its result from the record.")
    failed: bool = Field(False, description="It has failed.")
    arguments: Any = Field(None, description="The arguments of a tool.")
    result: Any = Field(None, description="Its result.")


class TurnObservation(_Report):
    """A turn of the bot: the handler that took an event, its outcome, and the filters that were tried."""

    kind: Literal["turn"]
    event_id: str = Field(description="Id of the event, as in its webhook.")
    event_type: str | None = Field(None, description="Type of the event, such as `message.received`.")
    chat_id: str | None = Field(None, description="Chat of the event.")
    message_id: str | None = Field(None, description="Message that the event is about.")
    joined: list[str] = Field([], description="The further messages that the handler got as one with the first.")
    started_at: AwareDatetime | None = Field(None, description="Start of the turn, on the bot's clock.")
    duration_ms: Annotated[float, Field(ge=0)] | None = Field(None, description="Milliseconds, with the commit.")
    attempt: Annotated[int, Field(ge=1)] = Field(1, description="1, and one more for each earlier run that failed.")
    taken_by: str | None = Field(None, description="Id of the event whose handler took this one while it ran.")
    outcome: Literal["acked", "retried", "deferred", "dead_lettered", "not_handled", "running", "taken"] = Field(
        description="The end of the turn. `not_handled` is acked too, but no handler took the event. `running`: it has "
        "not ended yet; its next report replaces this one. `taken`: the message has no turn of its own, because the "
        "running handler of an earlier one took it, see `taken_by`."
    )
    handler: str | None = Field(None, description="Name of the handler that took the event, as `module:name`.")
    file: str | None = Field(None, description="Name of the file that defines the handler.")
    line: int | None = Field(None, description="Line of the handler's definition.")
    tried: list[TriedFilter] = Field([], description="The filters of the handlers before it.")
    reason: str | None = Field(
        None,
        description="Why no handler took the event; why the turn was deferred or given up; or why a call of the "
        "running turn waits.",
    )
    why: str | None = Field(None, description="What became of the event, in a sentence or two, which the page shows.")
    replies: Annotated[int, Field(ge=0)] = Field(0, description="Number of messages that the turn sent.")
    retry_in_s: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Seconds until the next run, or until the running turn goes on."
    )
    error: TurnError | None = Field(None, description="The error that ended the turn.")
    question: MetQuestion | None = Field(None, description="The open question that the event concerns.")
    asks: str | None = Field(None, description="The question with which the handler ended, to wait for its answer.")
    steps: list[RunStep] = Field([], description="The steps of the run, in the order in which they ended.")
    used: str = Field("", description="The tokens and the cost of those that were made, in words.")
    notes: list[TurnNote] = Field([], description="Notes for the author, such as advice.")
    previews: list[PreviewedSend] = Field([], description="The messages that the turn sent, on each service.")


class BotReport(_Report):
    """The start of the bot: its file was loaded, or it failed to load; or the end of its process."""

    kind: Literal["bot"]
    status: Literal["loaded", "failed", "stopped"] = Field(
        description="`failed`: the bot did not start. `stopped`: its process has ended by itself. After both, the bot does "
        "not run until its file is corrected."
    )
    file: str | None = Field(None, description="Name of the file with the error.")
    line: int | None = Field(None, description="Line of the error.")
    message: str | None = Field(None, description="The error, with its class.")
    traceback: str | None = Field(None, description="The traceback, as text.")
    at: AwareDatetime | None = Field(None, description="Time of the start or of the end, on the bot's clock.")
