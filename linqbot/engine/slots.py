"""Slots: the names of the calls, scheduled sends and streams of a turn, the same in every run of it.

A call without a key is numbered within its task and its part of the conversation. A call with a key, and the sends of a
stream, are numbered within that key. Inside of a step of `ctx.once`, calls and streams, those with a key included, are
numbered within the step: a run that has the step's result from the record does not make them, and numbers its other calls
as before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import to_json

from linqbot.branch import begin_turn, current_branch, in_branch
from linqbot.client.call import Call
from linqbot.errors import BotError

OUTSIDE: Final = "^"
"""The beginning of the slots of what middleware, filters and error handlers do."""

OUTSIDE_FIRST: Final = "^:"
"""The beginning of these slots for the event that begins a turn. Each answer to a question has another: see `outside_of_answer`."""

STREAM: Final = "~stream"
"""The beginning of the labels of streams. No `key=` begins so."""


_IN_STEP: Final = "step~"
"""The beginning of the path of the calls inside of a step. A digest of the step's name follows."""


@dataclass(slots=True)
class StepEffects:
    """The effects of a step that are stored when its turn ends. A run that has the step from the record repeats them.

    Attributes:
        path: The path of what is done inside of the step: its digest, behind those of the steps that it is inside of.
        noted: The effects as JSON, by the words under which features recall them; see `Features.recalls`.
    """

    path: str = ""
    noted: dict[str, list[Any]] = field(default_factory=dict)

    def note(self, word: str, effects: Sequence[Any]) -> None:
        if effects:
            self.noted.setdefault(word, []).extend(effects)


_step: ContextVar[StepEffects | None] = ContextVar("linqbot_step", default=None)


def effects_of_step() -> StepEffects | None:
    """Return the effects of the step that is running; None outside of steps."""
    return _step.get()


class Slots:
    """Gives out the slots of one run of a turn. It must be created in the turn's own task.

    Attributes:
        root: The branch of the turn's own task.
        part: The prefix of the slots of the current part of a conversation; empty for the first part. Outside of the
            handler it begins with `OUTSIDE`.
    """

    __slots__ = ("_label_counts", "part", "root")

    def __init__(self) -> None:
        self.root = begin_turn()
        self.part = ""
        self._label_counts: dict[str, int] = {}

    def of_call(self, call: Call) -> str:
        if call.label is None:
            return current_branch(self.root).number(self.part)
        # The label of a stream's sends names the step already.
        label = call.label if call.label.startswith(STREAM) else f"{self._step}{call.label}"
        count = self._label_counts.get(label, 0)
        self._label_counts[label] = count + 1
        return labelled(self.part, label, count)

    def of_step(self, name: str) -> str:
        """Return the slot of a step. A handler's step has the same slot in all parts of a conversation."""
        return f"{self.part if self.part.startswith(OUTSIDE) else ''}step:{name}"

    @contextmanager
    def in_step(self, name: str) -> Iterator[StepEffects]:
        """Number the calls of the block within a step, and collect its effects, those of the steps inside of it included."""
        around, path = _step.get(), _path_in(name)
        effects = StepEffects(path if around is None else around.path + path)
        token = _step.set(effects)
        try:
            with in_branch(path, self.root):
                yield effects
        finally:
            _step.reset(token)
            if around is not None:
                for word, noted in effects.noted.items():
                    around.note(word, noted)

    def of_timer(self, key: str | None) -> str:
        """Return the slot of the next scheduled send: its `key=`, or without one its number."""
        return self.numbered("t") if key is None else timer_slot(self.part, f":{key}")

    def numbered(self, kind: str) -> str:
        """Return the slot of the next thing of a kind: its number in the running task.

        `kind` is empty for a call; of scheduled sends `t` for a new one, `m` for one that is moved, `c` for one that is
        cancelled, `l` for a list of them.
        """
        return current_branch(self.root).number(f"{self.part}{kind}")

    def label_of_stream(self, key: str | None) -> str:
        """Return the label of the sends of the next `ctx.stream`.

        Raises BotError if a stream of this key has sent something in this run, in the same step if it is made in one.
        """
        label = current_branch(self.root).number(STREAM) if key is None else f"{STREAM}{self._step}:{key}"
        if label in self._label_counts:
            raise BotError(
                f"ctx.stream(key={key!r}): the key was used before in this run. Give the stream a key of its own."
            )
        return label

    @property
    def _step(self) -> str:
        step = step_around(current_branch(self.root).path)
        return f"{_IN_STEP}{step}/" if step else ""


def outside_of_answer(delivery_id: str) -> str:
    """Return the part of what is done outside of the handler for the delivery of an answer to a question."""
    return f"{OUTSIDE}{delivery_id.replace(':', '.')}:"


def is_outside_of_answer(slot: str) -> bool:
    """Return True if a slot is of something that was done outside of the handler for an answer to a question."""
    return slot.startswith(OUTSIDE) and not slot.startswith(OUTSIDE_FIRST)


def timer_slot(part: str, name: str) -> str:
    """Return the slot of a scheduled send, of which `name` is its number in the turn's own task, or a colon and its `key=`."""
    return f"{part}t{name}"


def labelled(part: str, label: str, n: int) -> str:
    """Return the slot of the call number `n`, from 0, of those that have this label.

    The number comes before the label, which is the author's and may hold anything.
    """
    return f"{part}k{n or ''}:{label}"


def _path_in(step: str) -> str:
    digest = hashlib.blake2b(step.encode(), digest_size=8).hexdigest()
    return f"{_IN_STEP}{digest}/"


def is_in_step(path: str, step: str) -> bool:
    """Return True if a path, or the slot of a call, is of something that is done inside of the step of this name."""
    return _path_in(step) in path


def step_around(slot: str) -> str:
    """Return the digest of the step inside of which a call was made, by its slot; "" if it was made in none."""
    _, found, rest = slot.partition(_IN_STEP)
    return rest.partition("/")[0] if found else ""


def stream_of(slot: str) -> str | None:
    """Return the label of the stream that a call belongs to, by its slot; None if it belongs to none."""
    _, found, rest = slot.partition(f":{STREAM}")
    return f"{STREAM}{rest}" if found else None


_DIGEST_BYTES: Final = 8


def digest(call: Call) -> str:
    """Return a digest of the content of a call, without its idempotency key."""
    content = to_json([call.method, call.path, _without_key(call.body), call.query])
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def _without_key(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {
        name: {inner: each for inner, each in value.items() if inner != "idempotency_key"}
        if isinstance(value, dict)
        else value
        for name, value in body.items()
    }
