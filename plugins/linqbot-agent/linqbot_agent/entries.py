"""The record of one agent run: its model requests and tool calls are steps of `ctx.once`, so no later run repeats them.

A step is named by the run, by the steps around it, by what it does, and by a number. Nothing here knows pydantic-ai.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from linqbot import BotError, Context, Draft, ModelStep, Tally
from linqbot.characters import cut, to_json
from linqbot.errors import TurnDeferred
from linqbot_agent.foreign_data import clean
from linqbot_agent.links import strings_in

MOST_BYTES: Final = 255 << 10
"""The largest result of a step that is recorded, as JSON; `Context.once` takes 256 KiB."""
_LEAST_CHARACTERS: Final = 1000

_step: ContextVar[tuple[str, str]] = ContextVar("linqbot_agent_step")
"""The name and the idempotency key of the step that is being made."""
_is_unrecorded: ContextVar[bool] = ContextVar("linqbot_agent_unrecorded", default=False)
"""True in a tool with `recorded=False`, which is no step."""


def digest_of(data: bytes) -> str:
    """Return a digest for names in the record. It never changes: another one would lose what is on record."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class ResultNotRecorded(BotError):
    """A tool of an agent was called, but its result cannot be written as JSON, so the turn is given up."""


def idempotency_key() -> str:
    """Return a key for the tool call that is running. It is the same whenever the turn runs again.

    A tool that is cut off by a crash is called again. Pass the key to the system that the tool writes to, so that this
    system recognizes the second call.

    Raises:
        BotError: no tool of a run of `run` is running.
    """
    if (step := _step.get(None)) is not None:
        return step[1]
    if _is_unrecorded.get():
        raise BotError(
            "idempotency_key() was called in a tool with metadata={'recorded': False}. Such a call is made again in each run of "
            "the turn, and may change ctx.state only. Leave this metadata out for a tool that writes to another system."
        )
    raise BotError("idempotency_key() works inside a tool of an agent that runs with run(agent, ctx).")


@contextmanager
def going_on(step: str, key: str) -> Iterator[None]:
    """Go on with a step that a question has ended: what is done now has its name and its idempotency key."""
    token = _step.set((step, key))
    try:
        yield
    finally:
        _step.reset(token)


def step_around() -> str | None:
    """Return the name of the step that is being made, such as that of a running tool; None outside of steps."""
    step = _step.get(None)
    return None if step is None else step[0]


def is_in_step() -> bool:
    """Return True inside of a step, such as a tool that is running."""
    return step_around() is not None


class Step(NamedTuple):
    result: Any
    is_made: bool  # True if it was made now, and not answered from the record


class Entries:
    """The journal entries of one run of an agent.

    Args:
        name: The name of the run, the same whenever the turn runs again.
    Attributes:
        runs_again: True if later runs of the turn must run the agent again, although its answer is on record: a step was not
            recorded, or a response was to be said and nothing was sent.
        steps: For each part of the run, which a question ends, the names of the recorded steps that may have done something:
            all but requests to the model.
        said: For each part of the run, the names of the steps whose responses were said while the model wrote them.
        has_spoken: True once a tool has done something in the chat, such as sent a picture.
        deferred: Set if the turn runs again later, to go on where it was: the provider has cut a response that was being said,
            or an MCP server is away.
        under_way: The number of steps that are being made.
        on_idle: Called when this number becomes 0.
    """

    def __init__(self, ctx: Context, name: str) -> None:
        self._ctx = ctx
        self._name = name
        self._counts: Counter[str] = Counter()
        self.runs_again = False
        self.steps: list[list[str]] = [[]]
        self.said: list[list[str]] = [[]]
        self.has_spoken = False
        self.deferred: TurnDeferred | None = None
        self.under_way = 0
        self.on_idle: Callable[[], object] = lambda: None

    def next_part(self) -> None:
        """Go on with the next part of the run, behind a question."""
        self.steps.append([])
        self.said.append([])

    def place_of(self, name: str) -> str:
        """Return the name under which steps of a kind are recorded now, without their number."""
        return f"{step_around() or self._name}/{name}"

    def begin(self, name: str) -> str:
        """Begin the next step of a kind. Return the name under which it is recorded."""
        place = self.place_of(name)
        number = self._counts[place]
        self._counts[place] += 1
        return f"{place}#{number}"

    async def model_step(
        self,
        step: str,
        source: Callable[[Draft], Awaitable[object]],
        *,
        say: Callable[[Any], str] | None = None,
        stream: Callable[..., Awaitable[object]] | None = None,
        tally: Tally[Any] | None = None,
    ) -> ModelStep[Any]:
        """Return the response of a model for a step that has begun; see `Context.model_step`."""
        with self._making():
            made = await self._ctx.model_step(step, source, say=say, stream=stream, tally=tally)
        if say is not None:
            self.said[-1].append(step)
        return made

    async def step(
        self,
        name: str,
        make: Callable[[], Awaitable[object]],
        *,
        is_recorded: bool = True,
        tallies: Iterable[Tally[Any] | None] = (),
    ) -> Step:
        """Return the recorded result of a step, or make the step and record its result: clean, and cut if it is too long.

        A step that a crash cut off is made again.

        Args:
            is_recorded: False makes the step in each run of the handler, once.
            tallies: Values that are changed together with the result; see `Context.once`. None changes nothing.
        """
        step = self.begin(name)
        is_made = False

        async def make_it(key: str) -> object:
            nonlocal is_made
            is_made = True
            token = _step.set((step, key))
            try:
                return with_cut_texts(clean(await make()))
            finally:
                _step.reset(token)

        with self._making():
            if is_recorded:
                changed = [tally for tally in tallies if tally is not None]
                result = await self._ctx.once(step, make_it, retry=True, tally=changed)
                self.steps[-1].append(step)
            else:
                self.runs_again = True
                token = _is_unrecorded.set(True)
                try:
                    result = clean(await make())
                finally:
                    _is_unrecorded.reset(token)
        return Step(result, is_made=is_made)

    @contextmanager
    def _making(self) -> Iterator[None]:
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
            if not self.under_way:
                self.on_idle()


def with_cut_texts(value: Any, most_bytes: int = MOST_BYTES) -> Any:
    """Return JSON data with its longest texts cut, so that it may be recorded. The cut is said in them."""
    if len(to_json(value)) <= most_bytes:
        return value
    cut, longest = value, most_bytes
    longest_text = max(map(len, strings_in(value)), default=0)
    while longest > _LEAST_CHARACTERS:
        longest //= 2
        # Data of very many short texts is neither copied nor measured for each size.
        if longest < longest_text and len(to_json(cut := _with_cut_texts(value, longest))) <= most_bytes:
            break
    return cut


def _with_cut_texts(value: Any, longest: int) -> Any:
    """Return JSON data with each text cut to a number of characters."""
    if isinstance(value, dict):
        return {name: _with_cut_texts(each, longest) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_cut_texts(each, longest) for each in value]
    if isinstance(value, str) and len(value) > longest:
        kept = cut(value, longest)
        return f"{kept}\n[Too long, and cut here: {len(value) - len(kept)} more characters were left out.]"
    return value
