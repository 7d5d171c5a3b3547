"""The acts of a simulated person, as data. `actor.py` performs them on the emulator."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Literal, TypeAlias, get_args

Expectation: TypeAlias = Literal["answer", "silence", "anything"]
"""The behaviour of the bot that an act calls for.

`answer`: at least one message of the bot, or a tapback on the person's message. `silence`: no message.
"""

FaultName: TypeAlias = Literal["kill", "429", "500", "lost-answer", "slow", "double"]
FAULTS: Final[tuple[FaultName, ...]] = get_args(FaultName)


@dataclass(frozen=True, slots=True)
class Say:
    """Write a message.

    Args:
        text: The text; empty for photos alone.
        photos: The number of photos in the message.
        in_thread: The message answers the bot's latest message in its thread, if there is one.
        typing_s: Seconds for which typing dots show before.
        waits: True waits until the bot has finished what it does about this message and those before it. False goes
            on at once, as people do who write in bursts or lose patience.
        expects: What the bot must do. `answer`: send a message afterwards, or put a tapback on this one. `silence`: send
            no message. `anything`: what it likes. After STOP, nothing is expected.
        contains: A text that one of the answers must contain, in any case.
    """

    text: str = ""
    photos: int = 0
    in_thread: bool = False
    typing_s: float = 0.0
    waits: bool = True
    expects: Expectation = "answer"
    contains: str | None = None


@dataclass(frozen=True, slots=True)
class Correct:
    """Edit the person's latest message.

    Args:
        text: The new text.
        waits, expects: As for `Say`.
    """

    text: str
    waits: bool = True
    expects: Expectation = "anything"


@dataclass(frozen=True, slots=True)
class Tap:
    """Put a tapback on the bot's latest message, if there is one.

    Args:
        reaction: `love`, `like`, `dislike`, `laugh`, `emphasize`, `question`, or an emoji.
        waits, expects: As for `Say`.
    """

    reaction: str
    waits: bool = True
    expects: Expectation = "anything"


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Inject:
    """Let something go wrong with the next message of this person.

    Args:
        fault: `kill` kills the bot and starts it again. `429` and `500` are Linq's answers to the bot's next message to
            this person; the 429 names a wait of 2 s. `lost-answer` carries this call out and breaks the connection,
            `slow` answers it 3 s late. `double` delivers the person's next message twice.
    Raises:
        ValueError: there is no such fault.
    """

    fault: FaultName

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"There is no fault {self.fault!r}. The faults are: {', '.join(FAULTS)}.")


PersonAct: TypeAlias = Say | Correct | Tap | Pause | Inject


def code_of(act: PersonAct) -> str:
    """Return an act as Python, without arguments that have their default."""
    given = []
    for each in fields(act):
        value: Any = getattr(act, each.name)
        if each.default is MISSING:
            given.append(repr(value))
        elif value != each.default:
            given.append(repr(value) if each.name == "text" else f"{each.name}={value!r}")
    return f"{type(act).__name__}({', '.join(given)})"
