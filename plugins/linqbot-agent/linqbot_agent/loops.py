"""One run of an agent of any framework: its requests to the model and its calls of tools are steps of the turn.

`linqbot_agent.anthropic`, `.openai` and `.langgraph` stand on it. Nothing here knows a framework. Responses are recorded as
JSON, and have their tokens in `usage`: see `price_of`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from decimal import Decimal
from functools import partial
from types import EllipsisType
from typing import Any, Final

from pydantic_core import to_json

from linqbot import BotError, Context, Draft, ModelStep, Refused
from linqbot.errors import TurnDeferred
from linqbot.language import in_language
from linqbot.speakers import visible
from linqbot_agent.approvals import Questions, needs_approval
from linqbot_agent.budget import BudgetUsedUp
from linqbot_agent.entries import Entries
from linqbot_agent.guard import REFUSED, ToolCall, running_tool
from linqbot_agent.links import Shown, strings_in, without_invented
from linqbot_agent.prices import history_tokens, known, price_of
from linqbot_agent.progress import PROGRESS, Progress, text_comes
from linqbot_agent.run import AgentTurn, apologise, trouble, turn_of
from linqbot_agent.saying import Speech
from linqbot_agent.written import BYTES_PER_TOKEN, GO_ON, Change, Lines, changed

Message = dict[str, Any]
"""A message as providers take it: with `role` and `content`."""

_MOST_REFUSALS: Final = 3
_REFUSED: Final = (400, 413, 422)
"""The HTTP statuses of a request that says too much, among others."""
_AWAY: Final = (401, 402, 403, 408, 425, 429)
"""The HTTP statuses below 500 after which the same request may succeed later."""


class Loop:
    """The steps of one run.

    Attributes:
        stream: True says texts while the model writes them; False says only the text of a response that calls no tool.
        speech: Says the answer.
        start: The number of messages before what the run adds.
        deferred: Set if the provider has cut a response that was being said: the turn runs again.
        has_asked: True once the model was asked, or its response was on record.
    """

    def __init__(
        self, ctx: Context, name: str, turn: AgentTurn, *, stream: bool, timeout_s: float, approver: str
    ) -> None:
        self.stream = stream
        self.speech = Speech(ctx, turn.options.max_messages, in_language(turn.options.more, "more"))
        self.start = 0
        self._said: list[Message] = []  # these messages
        self._refusals = 0  # rises when the provider refuses a request, for the rest of the run
        self._shown = Shown.of(())  # what tools have shown to the model
        self.has_asked = False
        self.model_error: Exception | None = None  # the last error of a request to the model
        self.deferred: TurnDeferred | None = None
        self._ctx = ctx
        self._turn = turn
        self._timeout_s = timeout_s
        self._speaker = ctx.event.actor
        self._entries = Entries(ctx, name)
        self._questions = Questions(ctx, name, self._entries, turn.options, approver=approver)

    async def answer(self, work: Coroutine[Any, Any, object]) -> str:
        """Run a framework to its end, and return what was said."""
        await self._questions.run(work)
        return "\n\n".join(self.speech.said)

    async def conversation(self) -> list[Message]:
        """Return the last messages of the chat, up to the current one, each as a message of the user or the assistant."""
        options = self._turn.options
        history = await self._ctx.history(1 + (options.history if options.memory else 0))
        self._said = history.as_messages("openai")
        self.start = len(self._said)
        return [*self._said]

    def left_out(self, model: str | None, shown: Iterable[object]) -> int:
        """Return the number of the oldest messages to leave out of a request, because the model cannot read them all.

        Args:
            shown: The contents of the messages. A framework may have replaced those of the conversation.
        """
        if [*shown][: self.start] != [each["content"] for each in self._said]:
            return 0
        return self._first(model)

    def _first(self, model: str | None) -> int:
        most = self._turn.options.history_tokens or history_tokens(model)
        starts = [index for index, each in enumerate(self._said) if each["role"] == "user"]
        # After each refusal half of what is left, and then all but the last message.
        refused = len(starts) - (len(starts) >> self._refusals) if self._refusals < _MOST_REFUSALS else len(starts)
        for index in starts[refused:]:
            if most is None or sum(map(_tokens, self._said[index:])) <= most:
                return index
        return starts[-1] if starts else 0

    def _asks_for_less(self, error: Exception, model: str | None) -> bool:
        """Return True if the provider has refused a request, and may accept one with less history."""
        before = self._first(model)
        while getattr(error, "status_code", None) in _REFUSED and self._refusals < _MOST_REFUSALS:
            self._refusals += 1
            if self._first(model) > before:
                self._ctx.log.warning("agent.asked_again", error=type(error).__name__, left_out="history")
                return True
        return False

    async def ask(
        self,
        new: object,
        request: Callable[[Sequence[Message], Callable[[str], None]], Awaitable[Any]],
        *,
        text: Callable[[Any], str],
        calls_tool: Callable[[Any], bool],
        model: str | None,
        instructions: str,
    ) -> ModelStep[Any]:
        """Return the response of the model as JSON, and say its text.

        Args:
            new: What the model is shown since the run began, as JSON data. If the code has changed since the turn began, so
                that it differs, the model is asked again.
            request: Makes the request with further messages at its end. It is given a function that takes the pieces of the
                text as they come.
            text, calls_tool: Return the text of a response, and True if it calls a tool.
            model: The name of the model, by which its price is known.
            instructions: The instructions of the agent.
        """
        self.has_asked = True
        digest = hashlib.blake2b(to_json(new, fallback=str), digest_size=8).hexdigest()
        name = f"model@{digest}"
        change = self._change(instructions)
        account, place = self._turn.account, f"{self._ctx.event.event_id}/{self._entries.next_step(name)}"

        def price(response: Any) -> Decimal:
            usage = response["usage"]
            return known(lambda: price_of(model or "", usage), model, self._ctx, self._turn.unpriced)

        async def made(draft: Draft) -> Any:
            lines = Lines(change, draft.write)

            def write(piece: str) -> None:
                text_comes()
                lines.take(visible(piece))

            async with account.reserving(place, for_s=self._timeout_s):
                response = None
                while response is None:
                    try:
                        async with asyncio.timeout(self._timeout_s):
                            response = await request(go_on(draft.said), write if self.stream else _ignore)
                    except Exception as error:
                        self.model_error = error
                        if draft.has_text or not self._asks_for_less(error, model):
                            raise
            lines.end()
            return response

        try:
            step = await self._entries.model_step(
                name,
                made,
                say=lambda found: changed(visible(text(found)), change) if self.stream or not calls_tool(found) else "",
                stream=self.speech.stream,
                tally=account.tally(price, place),
            )
        except TurnDeferred as deferred:
            # Frameworks pass on an Exception only.
            self.deferred = deferred
            raise RuntimeError(str(deferred)) from deferred
        if step.is_made:
            counts, usage = self._turn.counts, step.response["usage"]
            counts.requests += 1
            counts.input_tokens += usage.get("input_tokens", 0)
            counts.output_tokens += usage.get("output_tokens", 0)
        return step

    def _change(self, instructions: str) -> Change | None:
        if not self._turn.options.known_links:
            return None
        said = (each["content"] for each in self._said)
        return partial(without_invented, shown=self._shown | Shown.of([instructions, *said]))

    async def call(
        self,
        tool: str,
        call_id: str,
        arguments: Mapping[str, Any],
        make: Callable[[], Awaitable[Any]],
        *,
        asks: bool = False,
    ) -> Any:
        """Return the result of a call of a tool, as JSON data: from the record, or made now. It acts in this chat only.

        Args:
            arguments: What the model wrote.
            asks: True if the framework says that the call needs approval. An approved call may act in other chats.
        Returns:
            A text in place of the result, if the call was refused or not approved.
        """
        options = self._turn.options
        is_approved = asks or needs_approval(options.needs_approval, tool, arguments, self._speaker)
        if is_approved and (reason := await self._questions.approval(tool, call_id, arguments)) is not None:
            return reason
        running = ToolCall(tool, self._ctx.event.chat_id, is_approved or tool in options.elsewhere)

        async def guarded() -> Any:
            token = running_tool.set(running)
            try:
                result = await make()
            except Refused:
                return REFUSED
            finally:
                running_tool.reset(token)
            return REFUSED if running.was_refused else result

        step = await self._entries.step(f"tool:{tool}@{call_id}", guarded)
        # A result may repeat what the model has made up.
        self._shown |= Shown.of(strings_in(step.result)) - Shown.of(strings_in(arguments))
        self._turn.counts.tool_calls += step.is_made
        return step.result


def _tokens(message: Message) -> int:
    return -(-len(message["content"].encode()) // BYTES_PER_TOKEN)


def go_on(said: str) -> list[Message]:
    """Return the messages that let a model go on behind what it has said before it was cut off."""
    return [{"role": "assistant", "content": said}, {"role": "user", "content": GO_ON}] if said else []


def _ignore(_: str) -> None:
    """Take a piece of a text that is said when the response is complete."""


running_loop: ContextVar[Loop | None] = ContextVar("linqbot_agent_loop", default=None)


def current_loop(what: str) -> Loop:
    """Return the run inside of which a framework calls.

    Raises:
        BotError: there is none.
    """
    if (loop := running_loop.get()) is None:
        raise BotError(f"{what} was used outside of a run of linqbot_agent, so it cannot be recorded.")
    return loop


@asynccontextmanager
async def running(
    ctx: Context,
    *,
    stream: bool,
    timeout_s: float,
    sorry: str | EllipsisType | None,
    approver: str,
    failures: tuple[type[Exception], ...] = (),
) -> AsyncIterator[Loop]:
    """Run a block as an agent's run. If the model fails, the person hears an apology, or the turn waits for the model.

    Args:
        sorry: The text to say when the model fails. Without it, that of `LinqAgent`.
        approver: See `linqbot_agent.run`.
        failures: The errors of the framework that mean that the model's answers are of no use.
    """
    turn = turn_of(ctx)
    with turn.next_run() as name:
        loop = Loop(ctx, name, turn, stream=stream, timeout_s=timeout_s, approver=approver)
        progress = Progress(in_language(PROGRESS, "one_moment"), 5.0, turn.clock)
        token = running_loop.set(loop)
        try:
            async with progress.watching(ctx, key=f"{name}/progress"):
                yield loop
            turn.counts.runs += 1
            (await trouble(ctx)).said_at = None
        except BudgetUsedUp:
            if (notice := await turn.account.notice()) is not None:
                await ctx.reply(notice, key=f"{name}/notice")
        except Exception as error:
            if loop.deferred is not None:
                raise loop.deferred from None
            if error is not loop.model_error and not isinstance(error, failures):
                raise
            status = getattr(error, "status_code", None)
            ctx.log.warning("agent.model_failed", error=type(error).__name__, status=status)
            turn.counts.outages += 1
            is_away = status is None or status in _AWAY or status >= 500
            if is_away and turn.options.outage == "defer" and not isinstance(error, failures):
                raise TurnDeferred("The provider of the agent's model is away.", after_s=None) from None
            await apologise(ctx, turn.options.sorry if isinstance(sorry, EllipsisType) else sorry, key=f"{name}/sorry")
        finally:
            running_loop.reset(token)
