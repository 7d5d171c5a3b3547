"""The requests of a run to its model, of any framework: each response is recorded, and said if the run says what the model writes.

A request that the provider refuses is made again with less. Prices are those of the package genai-prices. This module imports
pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

import httpx
from genai_prices import Usage, calc_price
from pydantic_ai.durable_exec import JSON_CODEC
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    ModelUnavailableError,
    UserError,
)
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_core import PydanticSerializationError

from linqbot import Draft, ModelStep
from linqbot.errors import TurnDeferred
from linqbot.speakers import visible
from linqbot_agent.entries import with_cut_texts
from linqbot_agent.foreign_data import clean
from linqbot_agent.links import goes_on
from linqbot_agent.messages import BYTES_PER_TOKEN, Refusals, tokens_of
from linqbot_agent.progress import text_comes
from linqbot_agent.run import Settings, is_away

GO_ON: Final = (
    "[You were cut off here, and the person has read what you wrote. Go on behind it. Repeat nothing, and do not mention "
    "the interruption.]"
)


def go_on(said: str) -> list[ModelMessage]:
    """Return the messages that let a model go on behind what it has said before it was cut off."""
    return [ModelResponse(parts=[TextPart(said)]), ModelRequest(parts=[UserPromptPart(GO_ON)])] if said else []


TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
"""The names of the counts in the usage of a response."""
_MOST_UNHEARD: Final = 2000
"""The most characters that are read of a text of which no more is said. The model may call a tool behind them."""
_REFUSED: Final = (400, 413, 422)
"""The HTTP statuses of a request that says too much, among others."""


Change: TypeAlias = Callable[[str], str]
"""Changes what a model has written before it is said: a line, together with the next one if an address may go on there."""
Write: TypeAlias = Callable[[str], bool]
"""Takes the next piece of a text as it comes. Returns False once no more of it is said: then the request ends."""
Request: TypeAlias = Callable[[str, Write], Awaitable[Any]]
"""Makes a request. It is given what the person has read of the response, before an earlier attempt was cut off."""


def changed(text: str, change: Change | None) -> str:
    if change is None:
        return text
    done: list[str] = []
    lines = Lines(change, done.append)
    lines.take(text)
    lines.end()
    return "".join(done)


class Lines:
    """Changes a text that grows, line by line: an address may come in several pieces. Without a change it is passed on."""

    def __init__(self, change: Change | None, write: Callable[[str], object]) -> None:
        self._change = change
        self._write = write
        self._line = ""
        self._before = ""  # the lines before it with which it is changed

    def take(self, text: str) -> None:
        if self._change is None:
            self._write(text)
            return
        *ended, self._line = (self._line + text).split("\n")
        for line in ended:
            self._before += line
            if not goes_on(line):
                self._write(f"{self._change(self._before)}\n")
                self._before = ""
            else:
                self._before += "\n"

    def end(self) -> None:
        if self._change is not None:
            self._write(self._change(self._before + self._line))


class Requests:
    """The requests of one run.

    Attributes:
        refusals: What the requests leave out.
        given: The messages of the present request, of which an attempt may leave out more.
        name, model: The name of the step of the present request, and of its model. The step is found again without the
            latter, so that another model goes on with the record.
        is_said: True if the last response was said while the model wrote it.
        error: The last error of a request.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.refusals = Refusals(settings.ctx, settings.run_id)
        self.given: Sequence[ModelMessage] = ()
        self.name = ""
        self.model = ""
        self.is_said = False
        self.error: Exception | None = None
        self._failed = ("", "")  # the kind and the name of the last step that has failed
        self._cut: Exception | None = None  # the error that has ended a response that was being said

    async def response(
        self,
        name: str,
        request: Request,
        *,
        text: Callable[[Any], str] | None,
        change: Change | None,
        price: Callable[[Any], Decimal],
    ) -> ModelStep[Any]:
        """Return a response of the model as JSON, from the record or made now.

        Args:
            name: The name of its step.
            request: Makes one attempt, and returns the response as JSON data.
            text: Returns the text of a response to say; None says nothing.
            change: Changes each line of the text that is said.
            price: Returns the price of a response in US dollars.
        Raises:
            RuntimeError: the provider has cut a response that was being said: see `Entries.deferred`.
        """
        if self._cut is not None:
            raise self._cut
        settings, turn = self.settings, self.settings.turn
        step = await self._begun(name)
        place = f"{settings.event.event_id}/{step}"
        self.refusals.begin(step)

        async def made(draft: Draft) -> Any:
            lines = Lines(change, draft.write)
            unheard = 0

            def write(piece: str) -> bool:
                nonlocal unheard
                text_comes()
                lines.take(visible(piece))
                unheard += len(piece) if draft.is_over else 0
                return unheard <= _MOST_UNHEARD

            async with turn.account.reserving(place, for_s=settings.timeout_s):
                response = await self._answered(request, draft, write)
            lines.end()
            if text is not None and unheard > _MOST_UNHEARD:
                response["usage"] |= self._least_tokens(response["usage"], text(response))
            return with_cut_texts(response)

        say = None if text is None else lambda response: changed(visible(text(response)), change)
        speech, said = settings.speech, len(settings.speech.said)
        try:
            found = await settings.entries.model_step(
                step,
                made,
                say=say,
                stream=settings.speech.stream,
                tally=turn.account.tally(price, place),
            )
        except TurnDeferred as deferred:
            settings.entries.deferred = deferred
            # Frameworks pass on an Exception only.
            raise RuntimeError(str(deferred)) from deferred
        except Exception as error:
            if error is self.error:
                self._failed = (name, step)
            raise
        self.refusals.accepted(self.given)
        self.is_said = say is not None
        # A deploy may take the question away before which it was said. It is then said when the handler runs again.
        if say is not None and len(speech.said) == said and not speech.is_cut and say(found.response).strip():
            settings.entries.runs_again = True
        if found.is_made:
            turn.count(found.response)
        return found

    async def _begun(self, name: str) -> str:
        """Return the name of the step of a request: of its next attempt, if the agent lets another model try after a failure.

        A later run must not begin with the first model again, which may be back, and answer in other words.
        """
        ctx, entries, (failed, step) = self.settings.ctx, self.settings.entries, self._failed
        if failed == name:
            await ctx.once(f"{step}/failed", lambda _: True, kind=bool, retry=True, restartable=True)
            self._failed = ("", "")
        step = entries.begin(name)
        while ctx.recall(f"{step}/failed", kind=bool):
            step = entries.begin(name)
        return step

    async def _answered(
        self,
        request: Request,
        draft: Draft,
        write: Write,
    ) -> Any:
        """Make a request, and if the provider refuses it, or the framework cannot form it, make it again with less."""
        while True:
            try:
                async with asyncio.timeout(self.settings.timeout_s):
                    return _counted(clean(await request(draft.said, write)))
            except Exception as error:
                self.error = error
                if not draft.has_text and await self.refusals.ask_again(
                    self.given, error, is_refusal=_is_refusal(error)
                ):
                    continue
                # What was said cannot be taken back, so no other model may answer in its place.
                self._cut = error if draft.said or draft.has_text else None
                raise

    def _least_tokens(self, usage: Mapping[str, int], said: str) -> dict[str, int]:
        """Return the tokens of a response that was not read to its end, with which most providers report them, by estimate."""
        least = {"input_tokens": tokens_of(self.given), "output_tokens": len(said.encode()) // BYTES_PER_TOKEN}
        return {name: max(tokens, usage[name]) for name, tokens in least.items()}


def _counted(response: Any) -> Any:
    """Return a response with its tokens as numbers, whatever its provider has reported."""
    reported: dict[str, Any] = response["usage"]
    counts = {name: count for name in TOKENS if isinstance(count := reported.get(name), int) and count > 0}
    return {**response, "usage": {**reported, **dict.fromkeys(TOKENS, 0), **counts}}


def is_model_away(error: Exception) -> bool:
    """Return True for an error of the provider, or of the way to it. A request that the provider refuses is none."""
    if isinstance(error, ModelAuthenticationError | ModelQuotaExceededError | ModelUnavailableError):
        return True
    if isinstance(error, ModelHTTPError):
        return is_away(error.status_code)
    is_of_way = isinstance(error, ModelAPIError | OSError | httpx.TransportError)
    return is_of_way and not isinstance(error, ModelRequestRejectedError)


def is_of_no_api(error: Exception) -> bool:
    """Return True for an error without a status: what has answered, such as a gateway with its page, is not the provider."""
    is_of_request = isinstance(
        error, ModelRequestRejectedError | UserError | UnicodeEncodeError | PydanticSerializationError
    )
    return getattr(error, "status_code", None) is None and not is_of_request


def _is_refusal(error: Exception) -> bool:
    """Return True if a provider has refused what a request says: it may accept a request that says less."""
    if isinstance(error, ExceptionGroup):  # of all models of a FallbackModel
        return any(map(_is_refusal, error.exceptions))
    if is_model_away(error) or isinstance(error, ModelNotFoundError):
        return False
    status = getattr(error, "status_code", None)
    return status in _REFUSED or (status is None and isinstance(error, ModelRequestRejectedError))


def _known(price: Callable[[], Decimal], model: str | None, settings: Settings) -> Decimal:
    """Return a price in US dollars; 0 if it is not known, which is logged once for each model."""
    try:
        return price()
    except (AssertionError, LookupError, ValueError) as error:
        name, unpriced = model or "?", settings.turn.shared.unpriced
        if name not in unpriced:
            unpriced.add(name)
            settings.ctx.log.warning(
                "agent.unknown_price",
                model=name,
                error=type(error).__name__,
                why="Its requests cost nothing in Budget(cost=…). Limit requests= or tokens= as well.",
            )
        return Decimal(0)


def history_tokens(model: str | None) -> int | None:
    """Return the most tokens of a history that a model is shown: half of what it can read. None if this is not known."""
    if model is None:
        return None
    try:
        window = calc_price(Usage(), model).model.context_window
    except (LookupError, ValueError):
        return None
    return None if window is None else window // 2


def price_of_usage(settings: Settings, model: str | None, recorded: Any) -> Decimal:
    """Return the price in US dollars of a recorded response of a model, which has its tokens in `usage`; see `_known`.

    Of `input_tokens`, `cache_read_tokens` and `cache_write_tokens` have other prices.
    """
    usage = Usage(**{name: recorded["usage"][name] for name in TOKENS})
    return _known(lambda: calc_price(usage, model or "").total_price, model, settings)


def price_of_response(settings: Settings, recorded: Any) -> Decimal:
    """Return the price in US dollars of a recorded response of pydantic-ai; see `_known`."""
    response: ModelResponse = JSON_CODEC.load(ModelResponse, recorded)
    if response.usage.cost is not None:
        return Decimal(response.usage.cost)
    return _known(lambda: response.cost().total_price, response.model_name, settings)
