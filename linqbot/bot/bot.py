"""A Bot: its handlers and its settings. A Bot holds no secret and opens no socket.

`server.app.create_app(bot, …)` serves a bot: there it gets its client and its storage. The handlers are registered with
the methods of `bot/router.py`, and `bot/dispatch.py` runs them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from linqbot.bot.router import Router
from linqbot.engine.bag import Bag
from linqbot.errors import BotError
from linqbot.features.bot_options import MuteByHand
from linqbot.features.handler_options import Gather
from linqbot.features.manners.conduct import Conduct
from linqbot.linq.events.event import Event
from linqbot.linq.handles import person_key
from linqbot.options import DAY_S, Groups, check_handle, check_max_age_s, check_number

if TYPE_CHECKING:
    from linqbot.bot.languages import LanguageChoice, Languages
    from linqbot.features.manners.options import Manners


class Bot(Router):
    """The handlers of a bot, and the settings of its behaviour in chats.

    Args:
        read: True marks a chat as read when a handler is chosen for its message.
        typing: True shows typing dots when a handler works for more than 300 ms.
        groups: The messages to handle in group chats: `addressed` handles a message that mentions the bot or replies
            to it, `all` every message, `never` none.
        allow: The people who may talk to the bot: a list of handles, which are phone numbers in E.164 form, e-mail
            addresses, or the short codes and names of senders; or a plain function that takes the event and returns
            True. Other people get no reply, no read receipt and no dots. None allows all people.
        allow_to: The people whom the bot may write to, as handles. Everything that it would send to others, or show them, is
            refused, in groups with others too: `Sent.status` is `refused`. For a bot that is tried on real lines. None allows
            all people.
        manners: Rules for messages that people did not ask for: see `Manners`. None has no rules.
        max_age_s: Messages older than this many seconds reach only handlers with `late=True`. None sets no limit.
        gather_s: Seconds that a message waits for further ones of the same person, so that what is written in a burst is
            one message, such as a text, photos and a link that come as several events. Each further message extends the
            wait, and so do typing dots, up to 20 messages and five times this time (at least 15 s). None handles each
            message by itself.
        loop_breaker: True stops answering another bot, because two bots that answer each other never stop. A chat
            counts as such a loop if its messages repeat or quote the bot, and either the bot's replies repeat too or
            the messages arrive faster than a person can write.
        mute_s: Seconds for which the bot is muted in a chat after a text of yours that it did not send, such as from Linq's
            dashboard or the operator's page: see `Context.mute`. 0 never mutes it by itself.
        owner: The handle of the person who may mute the bot from their phone.
        mute_word: A text with which the owner mutes the bot in all chats, such as "bot off"; None is none. It is no word that
            opts out at Linq, such as STOP. `linqbot mute --all` does the same.
        unmute_word: The text with which the owner ends that.
        on_trouble: A text such as "One moment, please.", for a person whose message cannot be answered now, because Linq is
            away, or who gets no answer, because the bot has given the message up. It is said once until a handler
            succeeds in this chat again, also after a restart. Not for a dead letter that an `on_dead_letter`
            handler takes. None says nothing. No person ever sees the text of an error.
        on_ask_timeout: A text such as "That took too long.", said once when a question of `ask`, or what `location` waits
            for, times out and the handler does not catch AskTimeout. True says a sentence of linqbot's own, and only to a
            person who has written an answer since the handler began. None says nothing.
        on_ask_cancelled: The same for AskCancelled, if the person ended the question by a word or gave no valid answer, or the
            operator ended it, of which linqbot's own sentences do not speak. A person who opts out is not answered. None says
            nothing of a PersonUnreachable either, of which no text given here speaks.
        language: The language that linqbot speaks and understands in questions and in `linqbot.parse`: the code `en`, `fr`,
            `de`, `es`, `pt`, `it`, `nl` or `ja`; or a function of the event and its context, plain or `async`, that returns the
            code for each event. None is English. Other languages need the extra `languages`.
        sentences: Texts in place of linqbot's own, by name: `{"yes_or_no": "Oui ou non ?"}`. With a function in `language`,
            one such dict for each code.
        plugins: The bot's own plugins (classes, modules or objects: see `linqbot.hookspecs`), and the names of
            installed plugins that the bot needs. Other installed plugins are loaded too when the bot is served, unless
            LINQBOT_PLUGINS says otherwise. In tests they are not loaded.
    Raises:
        BotError: `groups` has an unknown value, `max_age_s` is not a number greater than 0, `mute_s` is a number below 0,
            `gather_s` is not a number from 0 to 60, `allow` is neither a list of handles nor a plain function, `allow_to` is no
            list of handles, `plugins` is no list, `owner` is no handle, one of the words or texts is none, or linqbot does not
            speak a language.
    """

    _is_includable = False  # its options would not count

    def __init__(
        self,
        *,
        read: bool = True,
        typing: bool = True,
        groups: Groups = "addressed",
        allow: Collection[str] | Callable[[Event], bool] | None = None,
        allow_to: Collection[str] | None = None,
        manners: Manners | None = None,
        max_age_s: float | None = DAY_S,
        gather_s: float | None = None,
        loop_breaker: bool = True,
        mute_s: float = 1800.0,
        owner: str | None = None,
        mute_word: str | None = None,
        unmute_word: str = "bot on",
        on_trouble: str | None = None,
        on_ask_timeout: str | Literal[True] | None = True,
        on_ask_cancelled: str | Literal[True] | None = True,
        language: str | LanguageChoice | None = None,
        sentences: Mapping[str, Any] | None = None,
        plugins: Iterable[object] = (),
    ) -> None:
        super().__init__(gather_s=gather_s)
        check_max_age_s(max_age_s)
        check_number("Bot", "mute_s", mute_s)
        if not 0 <= mute_s <= 365 * DAY_S:
            raise BotError(f"Bot(mute_s={mute_s!r}) takes a number of seconds, of a year at most; 0 never mutes.")
        if groups not in get_args(Groups):
            raise BotError(f"Bot(groups={groups!r}) is not known. It is one of 'addressed', 'all', 'never'.")
        if isinstance(plugins, str) or not isinstance(plugins, Iterable):
            raise BotError(f"Bot(plugins=…) takes a list: plugins=[{plugins!r}].")
        _check_said(on_trouble=on_trouble, on_ask_timeout=on_ask_timeout, on_ask_cancelled=on_ask_cancelled)
        self.read = read
        self.typing = typing
        self.groups: Groups = groups
        self.max_age_s = max_age_s
        self.loop_breaker = loop_breaker
        self.options = Bag()
        self.options.put(MuteByHand(mute_s))
        self.options.put(Gather(gather_s or 0.0))
        self.on_trouble = on_trouble
        self.on_ask_timeout = on_ask_timeout
        self.on_ask_cancelled = on_ask_cancelled
        self.plugins = tuple(plugins)
        self.allow = _allowing(allow)
        if manners is not None:
            from linqbot.features.manners.options import Manners

            if not isinstance(manners, Manners):
                raise BotError('Bot(manners=…) takes Manners: manners=Manners(quiet_hours="21-8").')
        if manners is not None or allow_to is not None:
            people = None if allow_to is None else _handles(allow_to, "allow_to")
            self.options.put(Conduct(people, manners))
        if owner is not None or mute_word is not None:
            from linqbot.bot.owner_words import add_words

            add_words(self, owner, mute_word, unmute_word)
        self.languages: Languages | None = None
        if language is not None or sentences is not None:
            from linqbot.bot.languages import Languages

            self.languages = Languages(language, sentences or {})


def _check_said(**said: str | Literal[True] | None) -> None:
    """Raise BotError if something that the bot says by itself, given by the name of its option, is no text."""
    for option, text in said.items():
        is_own = text is True and option != "on_trouble"
        if text is not None and not is_own and not (isinstance(text, str) and text.strip()):
            raise BotError(f'Bot({option}=…) takes a text such as "One moment, please.", not {text!r}.')


def _allowing(allow: Collection[str] | Callable[[Event], bool] | None) -> Callable[[Event], bool] | None:
    if isinstance(allow, Collection):
        allowed = _handles(allow, "allow")
        # Events without an actor, such as the status of a line, come from Linq itself and are allowed. Those of the bot's own
        # line say that its messages were sent, delivered and read.
        return lambda event: event.actor is None or event.is_own or person_key(event.actor) in allowed
    if allow is None or (callable(allow) and not inspect.iscoroutinefunction(allow)):
        return allow
    # An `async def` would admit all people: its coroutine counts as True.
    raise BotError(f"Bot(allow=…) takes a list of handles, or a plain function of the event, not {allow!r}.")


def _handles(given: Any, option: str) -> frozenset[str]:
    """Return the handles of an option, as `person_key` has them.

    Raises:
        BotError: it is no list of handles.
    """
    if isinstance(given, str) or not isinstance(given, Collection):
        raise BotError(f"Bot({option}=…) takes a list of handles: {option}=[{given!r}].")
    return frozenset(check_handle(handle, f"Bot({option}=…)") for handle in given)
