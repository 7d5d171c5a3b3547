"""The record of one person's conversation: the acts, in stretches that end when the bot has finished.

A *stretch* begins with an act and ends as soon as the person waits and the bot has finished everything that the acts
caused. So what the bot says in a stretch answers this stretch. If the bot does not finish in time, the stretch goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from linqbot.testing.people.acts import Correct, Expectation, Inject, PersonAct, Say, Tap
from linqbot.testing.people.persona import Persona


@dataclass(slots=True)
class Performed:
    """An act that was performed.

    Attributes:
        at: Unix seconds on the emulator's clock.
        message_id: The message that was written, edited or tapped; None for other acts.
        seq: The number of the message that was written, among all records of the emulator. Of other acts, the first
            number after those that existed.
        expects: What the bot must do.
    """

    act: PersonAct
    at: float
    message_id: str | None = None
    seq: int = 0
    expects: Expectation = "anything"


@dataclass(slots=True)
class Stretch:
    """A part of a conversation.

    Attributes:
        after_seq: The number of the last message before the stretch; 0 if there is none.
        is_settled: True if the bot has finished, and the next stretch begins.
    """

    after_seq: int
    performed: list[Performed] = field(default_factory=list)
    is_settled: bool = False

    @property
    def said(self) -> list[Performed]:
        """The messages that the person wrote."""
        return [one for one in self.performed if isinstance(one.act, Say)]

    @property
    def causes(self) -> list[Performed]:
        """The acts that a bot may answer."""
        return [one for one in self.performed if isinstance(one.act, Say | Correct | Tap)]

    @property
    def acts(self) -> list[PersonAct]:
        """The acts."""
        return [one.act for one in self.performed]

    @property
    def has_kill(self) -> bool:
        """True if the bot was killed meanwhile."""
        return any(isinstance(act, Inject) and act.fault == "kill" for act in self.acts)


@dataclass(slots=True)
class Visit:
    """A person, the handle that the person had, and what the person did.

    Attributes:
        stopped: Why the person could not go on; None if the script ended.
    """

    persona: Persona
    handle: str
    stretches: list[Stretch] = field(default_factory=list)
    stopped: str | None = None

    @property
    def said(self) -> Iterator[Performed]:
        """The messages that the person wrote, oldest first."""
        return (one for stretch in self.stretches for one in stretch.said)

    @property
    def written(self) -> str:
        """All texts of the person, edits included, on a line each."""
        acts = (act for stretch in self.stretches for act in stretch.acts)
        return "\n".join(act.text for act in acts if isinstance(act, Say | Correct))
