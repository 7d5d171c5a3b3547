"""Options for features. The author of a bot has chosen those in `Bot.options`, and who serves it those in `Turns.options`.

The module imports no feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MuteByHand:
    """`Bot(mute_s=…)`: the seconds for which the bot is muted in a chat in which a person of yours writes; 0 for none."""

    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MissedMessages:
    """The search for messages whose webhooks did not arrive: see `gaps.py`.

    Attributes:
        wait_s: The longest time, in seconds, for which a chat's first message waits. 0 turns completing off.
        answer_for_s: The age in seconds up to which a missed message is handled like any other, although Linq has given
            up delivering it. An older one is history, and so is one after which a later message of the chat was
            handled. Only handlers with `late=True` get history.
        lines: The lines whose chats are asked for missed messages after a long downtime; () for all of the account.
    """

    wait_s: float = 10.0
    answer_for_s: float = 3600.0
    lines: Sequence[str] = ()
