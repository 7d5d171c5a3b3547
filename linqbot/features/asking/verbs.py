"""Verbs of `ctx` that ask and wait: the handler ends at one, and runs again when the answer has come. `session.py` does that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from linqbot.content.message_split import Content, has_drafts
from linqbot.errors import BotError
from linqbot.features.speaking import Speaker, known_as_context
from linqbot.linq.types.message import ReactionType
from linqbot.options import DAY_S

if TYPE_CHECKING:
    from linqbot.features.asking.question import AskedBefore, Location, PaymentResult, Question, VoteResult
    from linqbot.features.asking.session import AskSession

T = TypeVar("T")


class AskOptions(TypedDict, total=False):
    """The options of every form of `ctx.ask`."""

    who: str
    tries: int
    timeout_s: float
    cancel: Sequence[str] | None
    repeat: bool
    key: str | None
    meanwhile: str | None


@known_as_context
class AskVerbs(Speaker):
    """A run of a handler that can ask. Authors know it as their `Context`, which describes its attributes."""

    after_ask: AskedBefore | None
    resumption: AskSession | None
    side: AskSession | None

    @property
    def resuming(self) -> bool:
        """True if the handler goes on after a question of `ask`: it runs again from its start."""
        return self.resumption is not None

    @overload
    def ask(
        self, *question: Content, choices: Sequence[str] = ..., **options: Unpack[AskOptions]
    ) -> Coroutine[Any, Any, str]: ...

    @overload
    def ask(
        self,
        *question: Content,
        yes: ReactionType | str,
        also: Sequence[str] = ...,
        side_questions: bool = ...,
        **options: Unpack[AskOptions],
    ) -> Coroutine[Any, Any, bool]: ...

    @overload
    def ask(
        self,
        *question: Content,
        kind: type[T] | Callable[[str], T],
        choices: Sequence[str],
        timezone: str = ...,
        **options: Unpack[AskOptions],
    ) -> Coroutine[Any, Any, T | str]: ...

    @overload
    def ask(
        self,
        *question: Content,
        kind: type[T] | Callable[[str], T],
        timezone: str = ...,
        **options: Unpack[AskOptions],
    ) -> Coroutine[Any, Any, T]: ...

    @overload  # mypy tries this one where the result has to be of another type: without it, `kind: object` accepts that
    def ask(  # type: ignore[overload-cannot-match, unused-ignore]
        self,
        *question: Content,
        kind: type[object] | Callable[[str], object],
        timezone: str = ...,
        **options: Unpack[AskOptions],
    ) -> Coroutine[Any, Any, object]: ...

    @overload
    def ask(
        self, *question: Content, kind: object, timezone: str = ..., **options: Unpack[AskOptions]
    ) -> Coroutine[Any, Any, Any]: ...

    def ask(
        self,
        *question: Content,
        kind: Any = str,
        choices: Sequence[str] | None = None,
        yes: ReactionType | str | None = None,
        who: str = "asker",
        tries: int = 3,
        timeout_s: float = DAY_S,
        cancel: Sequence[str] | None = None,
        repeat: bool = True,
        key: str | None = None,
        also: Sequence[str] = (),
        side_questions: bool = False,
        timezone: str = "UTC",
        meanwhile: str | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Ask a question in the event's chat, and return the answer.

        At an open question the handler ends. When the answer comes, even after a restart or a deploy, the handler runs
        again from its start. The calls that it made before are answered from the journal and not made again, and
        earlier questions return their answers. Everything else before the question is done again: see `once`.

        Args:
            question: The text of the question, or other content, as for `reply`.
            kind: The type of the answer, or a function that takes the text. Numbers, yes and no, days and times are read as
                people write them, whatever `Annotated`, `None` and constraints are around their type. The message of a
                ValueError that a function raises is shown to the person, who may then answer again.
                `MediaPart` takes a photo or another file, and an event class such as `LocationSharingStarted` takes
                such an event.
            choices: The possible answers. On iMessage they are shown as a poll, elsewhere as a numbered list. The
                text, a vote, or the number that was shown answers. Together with `kind`, such as a function, another text is
                read as `kind` says, and a choice is returned as its text.
            yes: The tapback that means yes. The answer is True or False: from this tapback, `like`, `love` or `dislike`, or
                from a text such as "yes" or "no". With `kind=bool` the last three answer, too.
            who: The person who must answer, and no other one may: `asker` is the one who caused the event, `anyone` is any
                person of the chat, `others` are those in `also` alone, and everything else is a handle. A person who is not in the chat is asked in their own
                direct chat with the bot, on the same line, while the handler waits in its chat. There the question names the
                person whom it is for, and only one such question is open at a time.
            tries: The number of answers after which an invalid one ends the question.
            timeout_s: The seconds for which the question waits.
            cancel: The texts by which the person ends the question; None for "cancel", "never mind", "forget it" and "quit", or
                such words of the bot's language. The text of a choice chooses it instead.
            repeat: True asks the question again after a handler has answered another message meanwhile.
            key: Identifies the question within its handler. By it, an answer is found after the code has changed.
                Without it, the words of the question decide.
            also: With `yes` only: the handles of further people who may decide, such as owners. Each is asked where they
                are, as with `who`. Their tapback counts, or a message that says yes or no and nothing else. Other messages
                of theirs are handled as usual. If several questions of a chat are open to them, such a message must be a
                reply to one. The first answer counts, and the others who were asked read who has decided.
            side_questions: With `yes` only: True handles a message that says neither yes nor no as usual, by a handler
                that itself asks nothing, and the question stays open. False takes it for an invalid answer.
            timezone: With a `kind` of days or times: the IANA name of the person's time zone.
            meanwhile: What the chat reads once a person is asked elsewhere, such as "I have asked Dana."; None says nothing.
        Returns:
            The answer: a str, or what `kind`, `choices` or `yes` say.
        Raises:
            AskTimeout: no answer came in time.
            AskCancelled: the question has ended without an answer; `reason` says why.
            PersonUnreachable: a person who is named in `who` or `also` cannot be asked.
            AskEnded: the three above are of this kind, so one `except AskEnded` catches them.
            BotError: a question cannot be asked here, such as in a handler that is a plain `def`, in a task that the
                handler started, or for an event without a chat; or the arguments do not fit together.
        """
        from linqbot.features.asking.question import Question, texts
        from linqbot.language.spoken import spoken

        options = () if choices is None else texts("choices", choices)
        if choices is not None and not options:
            raise BotError("ctx.ask(choices=[]): there is nothing to choose from.")
        words = spoken().cancel if cancel is None else texts("cancel", cancel)
        others = texts("also", also)
        asked = Question(
            question,
            kind,
            options,
            yes,
            who,
            tries,
            timeout_s,
            words,
            repeat,
            key,
            others,
            side_questions,
            timezone=timezone,
            meanwhile=meanwhile,
        )
        return self._wait_for(asked)

    def pay(
        self,
        amount: int,
        description: str,
        *,
        timeout_s: float = DAY_S,
        key: str | None = None,
    ) -> Coroutine[Any, Any, PaymentResult]:
        """Request a payment in the event's chat, and return what became of it.

        The handler ends here, and runs again from its start when the payment has ended: see `ask`. In a direct iMessage
        chat the request is a payment card; on SMS, on RCS and in groups it is a link to the same page. Meanwhile the
        person's other messages are handled as usual, except for the words that end a question. A result other than `Paid`, and
        AskCancelled too, mean that the request was closed at Linq and cannot be paid any more.

        Args:
            amount: In US cents: 1250 are $12.50. At least 50.
            description: What is paid for, as the person reads it.
            timeout_s: The seconds for which the payment is awaited.
            key: Identifies the request within its handler, as for `ask`.
        Returns:
            `Paid`, which counts as true; or `Declined` or `Expired`, which count as false.
        Raises:
            AskCancelled: the person, the operator or other code of your account has cancelled the request, or it could
                not be sent; `reason` says why.
            LinqApiError: 403 your account at Linq has no payment provider.
            RuleBroken: the amount breaks R96.
            BotError: nothing can be awaited here, as for `ask`; or the arguments cannot be right.

        Example:
            `if await ctx.pay(1250, "2 soups", timeout_s=3600): …`
        """
        from linqbot.features.asking.event_waits import PaymentWait
        from linqbot.features.asking.question import Question

        # Without content: a person who has paid must not be asked again because new code has another description.
        wait = PaymentWait(amount, description)
        return self._wait_for(Question((), timeout_s=timeout_s, key=key, wait=wait))

    def location(
        self,
        *question: Content,
        timeout_s: float = DAY_S,
        key: str | None = None,
    ) -> Coroutine[Any, Any, Location]:
        """Ask the person of a direct iMessage chat to share their location, and return it.

        The handler ends here, and runs again from its start when the person shares it: see `ask`. If they share it
        already, they are not asked, and the handler goes on at once. Meanwhile the person's other messages are handled
        as usual, except for the words that end a question. A second request in the same chat takes the place of the first,
        whose handler does not go on.

        Args:
            question: Content to send with the request, as for `reply`.
            timeout_s: The seconds for which the location is awaited.
            key: Identifies the request within its handler, as for `ask`.
        Returns:
            The location, as it is now. Sharing goes on: `client.chats.location` reads it again, and ends it.
        Raises:
            AskTimeout: the person did not share a location in time.
            AskCancelled: the wait has ended without a location; `reason` says why. It is `unsupported` in groups, on
                SMS and on RCS, where Linq cannot ask for a location.
            LinqApiError: Linq refused the request.
            BotError: nothing can be awaited here, as for `ask`.

        Example:
            `where = await ctx.location("Where shall we deliver?", timeout_s=600)`
        """
        from linqbot.features.asking.event_waits import LocationWait
        from linqbot.features.asking.question import Question

        return self._wait_for(Question(question, timeout_s=timeout_s, key=key, wait=LocationWait()))

    def vote(
        self,
        choices: Sequence[str],
        *question: Content,
        until: Literal["all"] | int = "all",
        timeout_s: float = DAY_S,
        key: str | None = None,
    ) -> Coroutine[Any, Any, VoteResult]:
        """Let the people of the event's chat vote, and return the result.

        The handler ends here, and runs again from its start when enough people have voted, or the time is over: see
        `ask`. On iMessage the choices are a poll, elsewhere a numbered list, and a message that is a choice or
        its number is a vote. Meanwhile all other messages are handled as usual, except for the words that end a question.

        Args:
            choices: 2 or more texts. More than 12 are a numbered list on iMessage too.
            question: Content to send before the choices, as for `reply`.
            until: `all` waits for each person of the chat, those included who join it meanwhile, but not for those who
                leave; a number waits until so many people have voted.
            timeout_s: The seconds after which the vote ends with the votes that there are.
            key: Identifies the vote within its handler, as for `ask`.
        Returns:
            The votes by handle, the number of votes for each choice, and the winners.
        Raises:
            AskCancelled: the vote was ended, or it could not be sent; `reason` says why.
            LinqApiError: Linq refused a message.
            BotError: nothing can be awaited here, as for `ask`; or the arguments cannot be right.

        Example:
            `lunch = await ctx.vote(["Thai", "Pizza"], "Lunch?", timeout_s=3600)`
        """
        from linqbot.features.asking.event_waits import VoteWait
        from linqbot.features.asking.question import Question, texts

        options = texts("choices", choices, of="ctx.vote")
        if len(options) < 2:
            raise BotError(f"ctx.vote({list(options)!r}): give a list of 2 choices or more first, then the question.")
        return self._wait_for(Question(question, choices=options, timeout_s=timeout_s, key=key, wait=VoteWait(until)))

    def _wait_for(self, question: Question) -> Coroutine[Any, Any, Any]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise BotError(
                f"Handler {self.handler} is a plain def, which cannot wait for an answer. Write: async def …, and "
                f"await {question.verb}(…)."
            ) from None
        if has_drafts(question.content, None):
            return self._ask_with_files(question)
        return self._session.ask(question, self)

    async def _ask_with_files(self, question: Question) -> Any:
        content = tuple(await self._uploads.resolved(question.content))
        return await self._session.ask(replace(question, content=content), self)

    def end_questions(self) -> None:
        """End the open questions of `ask` in the event's chat, of all people, at the end of the turn and without a word.

        Their handlers do not run again. A handler with `during_ask=True` calls it if the person wants something else, such
        as to talk to a person: the question is not sent again, and their next message is an ordinary one. What `pay`,
        `location` and `vote` wait for stays open. If the handler fails, the questions stay open.

        Raises:
            BotError: the event belongs to no chat.
        """
        self._session.end_questions(self.chat_id)

    @property
    def _session(self) -> AskSession:
        from linqbot.features.asking.session import session_of

        return session_of(self._helpers)
