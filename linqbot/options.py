"""Checks of what authors give to a Bot, a Router, a decorator or a method of the context, such as `attempts=3`.

The options of a bot and of its handlers are checked when they are created, so that a mistake shows before a person
writes. `OverlapMode` names the ways to treat messages of the same person that come while a handler runs: `queue` handles
them afterwards, each in a turn of its own; `restart` cancels the handler and runs it again with all messages; `steer`
gives them to the running handler, which asks for them with `ctx.incoming()`. `features/overlap.py` implements the
last two.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from linqbot.characters import has_half
from linqbot.errors import BotError
from linqbot.linq.handles import is_handle, is_phone, is_sender, person_key, plain_handle
from linqbot.linq.rules.values import is_number, is_whole
from linqbot.linq.types.proactive import Purpose
from linqbot.nearest import suggestion

LONGEST_GATHER_S: Final = 60.0
DAY_S: Final = 86_400.0
GRACE_S: Final = 3600.0
"""Seconds that a scheduled send may be late by default."""
_E164_IS: Final = (
    "E.164 is a plus, the country code and the number, without spaces or brackets, such as '+14155550142'."
)


def check_limits(attempts: Any, deadline_s: Any) -> None:
    """Raise BotError for limits of a handler that cannot be.

    `attempts` are None or a whole number of at least 1, `deadline_s` is None or a finite number greater than 0.
    """
    if attempts is not None and not (is_whole(attempts) and attempts >= 1):
        raise BotError(
            f"attempts={attempts!r} is not possible. It is the number of runs of a handler before an event that fails "
            "becomes a dead letter: a whole number of at least 1, such as attempts=3."
        )
    if deadline_s is not None and not (is_number(deadline_s) and 0 < deadline_s < math.inf):
        raise BotError(
            f"deadline_s={deadline_s!r} is not possible. It is the number of seconds that a handler may run: a number "
            "greater than 0, such as deadline_s=60."
        )


def check_max_age_s(max_age_s: Any) -> None:
    """Raise BotError if the `max_age_s` of a bot is neither None nor a finite number greater than 0."""
    if max_age_s is not None and not (is_number(max_age_s) and 0 < max_age_s < math.inf):
        raise BotError(
            f"max_age_s={max_age_s!r} is not possible. It is the number of seconds after which a message is too old: a "
            "number greater than 0, such as max_age_s=86_400. None sets no limit."
        )


def check_gather_s(gather_s: Any) -> None:
    """Raise BotError if the `gather_s` of a bot or a router is neither None nor a number from 0 to 60."""
    if gather_s is not None and not (is_number(gather_s) and 0 <= gather_s <= LONGEST_GATHER_S):
        raise BotError(
            f"gather_s={gather_s!r} is not possible. It is the number of seconds that a message waits for further "
            f"ones, from 0 to {LONGEST_GATHER_S:g}; people who write in bursts need about 2."
        )


def check_handle(handle: Any, option: str) -> str:
    """Check the handle of a person, and return it as `person_key` has it. Another text would never be equal to that of an event.

    Args:
        option: The place of the handle in the author's code, such as `Bot(allow=…)`.
    Raises:
        BotError: it is neither a phone number in E.164 form, nor an e-mail address, nor the short code or the name of a
            sender.
    """
    plain = plain_handle(handle) if isinstance(handle, str) else handle
    if not (is_handle(plain) or is_sender(plain)):
        raise BotError(
            f"{option} can never match {handle!r}: a handle is a phone number in E.164 form, an e-mail address, or the short "
            f"code or the name of a sender. {_E164_IS}"
        )
    return person_key(plain)


def check_chat_id(chat_id: Any, call: str) -> None:
    """Raise BotError if the id of a chat is a person's handle, or no text of whole characters. The error does not show it."""
    if not isinstance(chat_id, str) or is_handle(chat_id):
        given = "the handle of a person" if isinstance(chat_id, str) else f"a value of type {type(chat_id).__name__}"
        raise BotError(f"{call}(…) takes the id of a chat, such as message.chat.id, but got {given}.")
    check_whole(f"{call}(chat_id)", chat_id)


def check_purpose(purpose: Any, call: str) -> None:
    """Raise BotError for a purpose that no message has. A misspelt `promotional` would pass the manners of the bot."""
    if purpose not in get_args(Purpose):
        raise BotError(f"{call}(purpose={purpose!r}) is not known. {suggestion(str(purpose), get_args(Purpose))}")


def check_line(line: Any, option: str) -> None:
    """Raise BotError if a line is not a phone number in E.164 form, as `check_handle` does for people."""
    if not is_phone(line):
        raise BotError(f"{option} can never match {line!r}: a line is a phone number in E.164 form. {_E164_IS}")


def check_whole(place: str, name: object) -> None:
    """Check that each storage can hold a text that names something, such as a `tag=`.

    It has no half characters (lone surrogates), and no U+0000, in it. What is said or stored is repaired instead: see
    `characters.py`. Repaired, two names could become equal. The error does not show the name, because it may be a person's.

    Args:
        name: Any object; other objects than texts are not looked at.
    Raises:
        BotError: the name has one of them in it.
    """
    if isinstance(name, str) and (has_half(name) or "\0" in name):
        raise BotError(
            f"{place} has half of a character (a lone surrogate) or U+0000 in it, which no storage can hold. If it was "
            "repaired, two names could become equal. Give another one."
        )


def check_number(call: str, argument: str, value: object, wanted: str = "a number of seconds") -> None:
    """Raise BotError if an argument is no number. The error shows its type only, because it may be a person's text."""
    if is_number(value):
        return
    instead = " Write timedelta(…).total_seconds()." if isinstance(value, timedelta) else ""
    raise BotError(
        f"{call}({argument}=…) takes {wanted}, such as 60, but got a value of type {type(value).__name__}.{instead}"
    )


def check_timezone(call: str, timezone: object) -> None:
    """Raise BotError if the `timezone` of a call is no text."""
    if not isinstance(timezone, str):
        raise BotError(
            f'{call}(timezone=…) takes the IANA name of a time zone, such as "Europe/Paris", but got a value of type '
            f"{type(timezone).__name__}."
        )


Role: TypeAlias = Literal["all", "receive", "work"]
"""The part of the work that one process of a bot does. The processes of one bot share a storage."""

OverlapMode: TypeAlias = Literal["queue", "restart", "steer"]
Groups: TypeAlias = Literal["addressed", "all", "never"]

STEER_ONLY: Final = 'ctx.incoming() works in a handler that is registered with @bot.on_message(overlap="steer").'
