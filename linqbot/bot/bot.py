"""A Bot: what to do. It holds no secret and opens no socket; `server.app.create_app` says where it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal, TypeAlias

from linqbot.bot.router import Router
from linqbot.errors import BotError
from linqbot.events.event import Event

Groups: TypeAlias = Literal["addressed", "all", "never"]
DAY_S = 86_400.0


class Bot(Router):
    """Handlers and manners.

    Args:
        read: Mark a chat as read once a handler took its message.
        typing: Show typing dots once a handler works for more than 300 ms.
        groups: In group chats, take messages only when the bot is mentioned or replied to (`addressed`), `all`, or
            `never`.
        allow: Who may talk to it: handles, or a function of the event. Nobody else gets a reply, a read receipt or
            dots. None allows everybody.
        loop_breaker: Stop answering another bot, which would never stop either: a chat whose messages repeat, or quote
            the bot, while its replies repeat too or the messages come faster than a person writes.
        plugins: Plugins of its own (classes, modules or objects, see `linqbot.hookspecs`), and names of installed ones
            it needs. What else is installed is loaded too when it is served, unless LINQBOT_PLUGINS says otherwise;
            in tests it is not.
        max_age_s: Messages older than this are old news, which only handlers with `late=True` get. None: never.
    """

    def __init__(
        self,
        *,
        read: bool = True,
        typing: bool = True,
        groups: Groups = "addressed",
        allow: Collection[str] | Callable[[Event], bool] | None = None,
        max_age_s: float | None = DAY_S,
        loop_breaker: bool = True,
        plugins: Iterable[object] = (),
    ) -> None:
        super().__init__()
        if groups not in ("addressed", "all", "never"):
            raise BotError(f"Bot(groups={groups!r}) is not known. It is one of 'addressed', 'all', 'never'.")
        if isinstance(allow, str):
            raise BotError(f"Bot(allow=…) takes a list of handles: allow=[{allow!r}].")
        if isinstance(plugins, str):
            raise BotError(f"Bot(plugins=…) takes a list: plugins=[{plugins!r}].")
        self.read = read
        self.typing = typing
        self.groups: Groups = groups
        self.max_age_s = max_age_s
        self.loop_breaker = loop_breaker
        self.plugins = tuple(plugins)
        self.allow: Callable[[Event], bool] | None = _among(allow) if isinstance(allow, Collection) else allow


def _among(handles: Collection[str]) -> Callable[[Event], bool]:
    allowed = frozenset(handle.casefold() for handle in handles)
    # Events nobody did, such as a line's status, are Linq's own and pass.
    return lambda event: event.actor is None or event.actor.casefold() in allowed
