"""Ready-made middleware and settings: a limit per person, an allow-list in a file, texts in the log of a developer."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from linqbot.bot.context import Context
from linqbot.errors import BotError
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.handles import person_key
from linqbot.options import check_handle, check_number
from linqbot.text_files import written_text

if TYPE_CHECKING:
    from linqbot.bot.router import Middleware, Next

log = structlog.get_logger("linqbot.bot")

MOST_PEOPLE: Final = 10_000
"""People whose messages a limit remembers. When there are more, those who have been silent for longest begin again."""


class _Recent:
    """The messages of one person that were let through: their times, and the ids, by which a second run is not counted."""

    def __init__(self, most: int) -> None:
        self.times: deque[tuple[float, str]] = deque(maxlen=most)
        self.warned: str | None = None  # the id of the event to which `say` was the reply


def limit_per_person(most: int, *, per_s: float, say: str | None = None) -> Middleware:
    """Return middleware that lets at most so many messages of each person through in a time, for `@bot.use`.

    The others reach no handler. The count is kept in the memory of the process: it begins again after a restart, and each
    process of a bot has its own. A second run of a turn is not counted, and neither is the answer to a question.

    Args:
        most: The number of messages, at least 1.
        per_s: The time, in seconds.
        say: What the bot replies to the first message that is left out; None says nothing.
    Raises:
        BotError: an argument cannot be right.

    Example:
        `bot.use(limit_per_person(20, per_s=60, say="One thing after the other, please."))`
    """
    if not isinstance(most, int) or most < 1:
        raise BotError(f"limit_per_person({most!r}): give the number of messages, at least 1.")
    check_number("limit_per_person", "per_s", per_s)
    if say is not None and not (isinstance(say, str) and say.strip()):
        raise BotError(f"limit_per_person(say={say!r}): give the text of a reply, or None.")
    people: OrderedDict[str, _Recent] = OrderedDict()

    def middleware(next_: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            if not isinstance(event, MessageReceived) or event.is_own or event.actor is None or ctx.resuming:
                await next_(event, ctx)
                return
            recent = people.setdefault(event.actor, _Recent(most))
            people.move_to_end(event.actor)
            if len(people) > MOST_PEOPLE:
                people.popitem(last=False)
            now = ctx.now().timestamp()
            is_second_run = any(each == event.event_id for _, each in recent.times)
            if not is_second_run and len(recent.times) == most and recent.times[0][0] > now - per_s:
                ctx.log.info("message.over_limit", most=most, per_s=per_s)
                if say is not None and recent.warned in (None, event.event_id):
                    recent.warned = event.event_id
                    await ctx.reply(say)
                return
            if not is_second_run:
                recent.times.append((now, event.event_id))
                recent.warned = None
            await next_(event, ctx)

        return handle

    return middleware


class AllowFile:
    """An allow-list in a file, for `Bot(allow=AllowFile("people.txt"))`. A changed file counts from the next event on.

    Each line has the handle of one person. Empty lines and what follows a `#` do not count. If the file cannot be read
    later, or a line is no handle, the last list stays and the log says so.

    Raises:
        BotError: the file cannot be read, or a line is no handle.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._stamp: tuple[int, int, int] | None = None
        self._handles: frozenset[str] = frozenset()
        self._refresh()

    def __call__(self, event: Event) -> bool:
        try:
            self._refresh()
        except BotError as error:
            log.error("allow_file.unreadable", why=str(error))
        return event.actor is None or event.is_own or person_key(event.actor) in self._handles

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            lines = written_text(self._path).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BotError(f"The allow-list {self._path} cannot be read: {type(error).__name__}.") from error
        self._stamp = stamp  # also of a file with a fault, which is reported once
        handles = [handle for line in lines if (handle := line.partition("#")[0].strip())]
        allowed = set[str]()
        for number, handle in enumerate(handles, start=1):
            # Without the text of the line: the log may not have it.
            try:
                allowed.add(check_handle(handle, ""))
            except BotError:
                raise BotError(
                    f"Entry {number} of the allow-list {self._path} is no handle: a phone number in E.164 form, such as "
                    "+14155550142, or an e-mail address."
                ) from None
        self._handles = frozenset(allowed)


def texts_in_log(next_: Next) -> Next:
    """Log the text of each message, for `@bot.use` while you develop. Without it, no log line holds a person's words."""

    async def handle(event: Event, ctx: Context) -> None:
        if isinstance(event, MessageReceived):
            ctx.log.info("message.text", sender=event.actor, text=event.text)
        await next_(event, ctx)

    return handle
