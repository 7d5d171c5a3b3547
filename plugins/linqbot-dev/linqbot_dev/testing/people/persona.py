"""A simulated person: a name, the service of the phone, and a script of acts or a function that chooses them.

Acts are data. `rehearsing.py` performs them on the emulator and keeps the record of the conversation in stretches. A
*stretch* begins with an act and ends as soon as the person waits and the bot has finished everything that the acts
caused. So the messages of the bot in a stretch answer this stretch. If the bot does not finish in time, the stretch
goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, get_args

from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.records import MessageRecord
from linqbot_dev.testing import arguments
from linqbot_dev.testing.bubble import Bubble
from linqbot_dev.testing.phone import Service

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
        mentions: In a group, the message mentions the bot: its first word with an `@`, or `@bot` before the text.
        does: The kind of effect that the bot must have on its `Ledger`, such as `book`; empty if it must have none.
    """

    text: str = ""
    photos: int = 0
    in_thread: bool = False
    typing_s: float = 0.0
    waits: bool = True
    expects: Expectation = "answer"
    contains: str | None = None
    mentions: bool = False
    does: str | None = None


@dataclass(frozen=True, slots=True)
class Correct:
    """Edit the person's latest message.

    Args:
        text: The new text.
        expects: As for `Say`.
    """

    text: str
    expects: Expectation = "anything"


@dataclass(frozen=True, slots=True)
class Tap:
    """Put a tapback on the bot's latest message, if there is one.

    Args:
        reaction: `love`, `like`, `dislike`, `laugh`, `emphasize`, `question`, or an emoji.
        expects: As for `Say`.
    Raises:
        ValueError: there is no such tapback.
    """

    reaction: str
    expects: Expectation = "anything"

    def __post_init__(self) -> None:
        arguments.tapback(self.reaction)


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
        arguments.one_of("fault", self.fault, FAULTS)


YES: Final = "Yes, please."
NO: Final = "No, thanks."
ASKING: Final = ("may i ", "shall i ", "should i ", "can i ", "do you want", "confirm", "go ahead", "is that ")


def asks(text: str) -> bool:
    """Return True if a message asks for a confirmation. No other question may be answered with yes or no."""
    return "?" in text and any(words in text.casefold() for words in ASKING)


@dataclass(frozen=True, slots=True)
class Decide:
    """Agree, or refuse, if the bot's latest message asks for a confirmation, such as `Shall I book it?`.

    Args:
        yes: False refuses: then the bot must have no effect on its `Ledger`.
    """

    yes: bool = True


@dataclass(frozen=True, slots=True)
class VoteFor:
    """Vote in the bot's latest poll, if there is one.

    Args:
        option: The position of the option; past the last one it begins with the first again.
        expects: As for `Say`.
    """

    option: int = 0
    expects: Expectation = "anything"


@dataclass(frozen=True, slots=True)
class PayRequest:
    """Pay the bot's latest payment request, if one is open.

    Args:
        pays: False lets the person's bank refuse the payment.
        expects: As for `Say`.
    """

    pays: bool = True
    expects: Expectation = "anything"


@dataclass(frozen=True, slots=True)
class Locate:
    """Share the person's location, in degrees.

    Args:
        expects: As for `Say`.
    """

    latitude: float = 52.52
    longitude: float = 13.405
    expects: Expectation = "anything"


PersonAct: TypeAlias = Say | Correct | Tap | Decide | VoteFor | PayRequest | Locate | Pause | Inject


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


class Dialogue:
    """A conversation so far, as the person's phone shows it.

    Args:
        emulator: The emulator.
        handle: The person's handle.
        friends: The handles of the others in a group.
    """

    def __init__(self, emulator: Emulator, handle: str, *friends: str) -> None:
        self._emulator = emulator
        self._people = (handle, *friends)
        self.handle = handle

    @property
    def messages(self) -> list[Bubble]:
        """All messages of both sides, oldest first. `from_bot` says who wrote one."""
        return [Bubble(record) for record in records_of(self._emulator, *self._people)]

    @property
    def text(self) -> str:
        """The conversation as text, one message on a line: `me: …` for the person, `bot: …` for the bot."""
        return "\n".join(f"{'bot' if one.from_bot else 'me'}: {one}" for one in self.messages)


def records_of(emulator: Emulator, *people: str) -> list[MessageRecord]:
    """Return the emulator's records of all messages in chats of the bot with exactly these people, oldest first."""
    of_them, is_group = {*people}, len(people) > 1
    chats = [one for one in emulator.state.chats.values() if one.is_group is is_group and one.people == of_them]
    return sorted((message for chat in chats for message in chat.messages), key=lambda one: one.seq)


Chooser: TypeAlias = Callable[[Dialogue], Awaitable[PersonAct | None]]
"""Chooses the next act, after the bot has finished what it did about the last one. None ends the conversation."""


@dataclass(frozen=True, slots=True, eq=False)
class Persona:
    """A simulated person.

    Args:
        name: The name in reports, such as `impatient 7`.
        script: The acts in their order, or an async function that chooses the next one, such as a call of a language
            model. An iterator is used up by one conversation.
        service: The service of the phone.
        in_group: The person writes in a group of the bot, this person, and a friend who writes nothing.
    """

    name: str
    script: Iterable[PersonAct] | Chooser
    service: Service | str = "iMessage"
    in_group: bool = False


async def acts_of(persona: Persona, dialogue: Dialogue) -> AsyncIterator[PersonAct]:
    if callable(persona.script):
        while (act := await persona.script(dialogue)) is not None:
            yield act
    else:
        for act in persona.script:
            yield act


@dataclass(slots=True)
class Performed:
    act: PersonAct
    at: float  # Unix seconds on the emulator's clock
    message_id: str | None = None  # the message that was written, edited or tapped; None for other acts
    # The number of the message that was written, among all records of the emulator. Of other acts, the first number
    # after those that existed.
    seq: int = 0
    expects: Expectation = "anything"  # what the bot must do


@dataclass(slots=True)
class Stretch:
    after_seq: int  # the number of the last message before the stretch; 0 if there is none
    performed: list[Performed] = field(default_factory=list)
    is_settled: bool = False  # True if the bot has finished, and the next stretch begins

    @property
    def said(self) -> list[Performed]:
        return [one for one in self.performed if isinstance(one.act, Say)]

    @property
    def causes(self) -> list[Performed]:
        """The acts that a bot may answer."""
        return [one for one in self.performed if not isinstance(one.act, Pause | Inject)]

    @property
    def acts(self) -> list[PersonAct]:
        return [one.act for one in self.performed]

    @property
    def has_kill(self) -> bool:
        return any(isinstance(act, Inject) and act.fault == "kill" for act in self.acts)


@dataclass(slots=True)
class Visit:
    """A person, the handle that the person had, and what the person did.

    Attributes:
        stopped: Why the person could not go on; None if the script ended.
        has_ended: The person has done everything, and was not interrupted.
    """

    persona: Persona
    handle: str
    stretches: list[Stretch] = field(default_factory=list)
    stopped: str | None = None
    has_ended: bool = False

    @property
    def friends(self) -> tuple[str, ...]:
        """The handles of the others in the person's group; none in a direct chat."""
        return (f"{''.join(filter(str.isalnum, self.handle))}@friends.example",) if self.persona.in_group else ()

    @property
    def said(self) -> Iterator[Performed]:
        return (one for stretch in self.stretches for one in stretch.said)

    @property
    def written(self) -> str:
        """All texts of the person, edits included, on a line each."""
        acts = (act for stretch in self.stretches for act in stretch.acts)
        return "\n".join(act.text for act in acts if isinstance(act, Say | Correct))
