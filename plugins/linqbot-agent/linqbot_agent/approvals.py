"""Calls of tools that wait for a person, for days and across restarts: for an approval, or for the answer to a question.

The question is one of `ctx.ask`, so the handler ends and the process keeps nothing. The answer runs the handler again, and
the run goes on with what is on record. Each call has a question of its own. Nothing here knows a framework.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from linqbot import AskCancelled, BotError, TextPart
from linqbot.characters import to_json
from linqbot.language import in_language
from linqbot.speakers import in_mark, said_by, visible
from linqbot_agent.approval_text import bubbles, question
from linqbot_agent.entries import digest_of, is_in_step
from linqbot_agent.run import Settings

_UNSHOWN: Final = "This was not done: a person must approve the call, and it is too long to be shown to them. Make calls that each say less."
"""The text that the model reads if a question would not be read to its end: nothing is approved that was not shown."""

_LEAST_LIKENESS: Final = 0.5
"""The least likeness of a name to be named as the nearest one: `close` is meant for the tool `ledger_close` of an MCP server."""

T = TypeVar("T")


class Questions:
    """The questions of one run. A framework calls tools in tasks of its own, but only the handler's task can ask.

    Attributes:
        asked: The keys of the questions that were answered, each with its text, and True if it was for an approval.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ctx = settings.ctx
        self._entries = settings.entries
        self._counts: Counter[str] = Counter()
        self._open: deque[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = deque()
        self._news: asyncio.Future[None] | None = None
        self._entries.on_idle = self._notify
        self.asked: list[tuple[str, str, bool]] = []

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a framework in a task of its own, and ask what its tools want to know.

        Raises:
            Suspended: a question was asked. The framework is stopped.
        """
        task = asyncio.create_task(work)
        try:
            while not task.done():
                # A question ends the handler. So calls that are being made end before it, and none begins before all
                # questions have their answers.
                answers = []
                while self._open and not self._entries.under_way:
                    ask, answer = self._open.popleft()
                    answers.append((answer, await ask()))
                for answer, found in answers:
                    answer.set_result(found)
                self._news = asyncio.get_running_loop().create_future()
                waited: list[asyncio.Future[Any]] = [task, self._news]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # an error behind that of the question is no news

    def _notify(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def approval(
        self, tool: str, call_id: str, arguments: Mapping[str, Any], text: str | None = None
    ) -> str | None:
        """Let a person decide about a call, in any task. Return None if it is approved, else what the model reads.

        Args:
            text: The question in the words of the tool; without it, all arguments are shown.
        """
        if (asked := question(tool, arguments, text)) is None:
            return _UNSHOWN
        digest = digest_of(to_json([tool, arguments]))
        return await self._put(f"approve.{call_id}.{digest}", asked, is_approval=True)

    async def answer(self, call_id: str, text: str) -> str:
        """Return the answer to a question of a tool, in any task, as the model reads it."""
        return await self._put(f"ask.{call_id}", text, is_approval=False) or ""

    async def _put(self, key: str, text: str, *, is_approval: bool) -> str | None:
        if is_in_step():
            raise BotError(
                "A tool that was called inside of another tool wants to ask a person. A question ends the handler, which would "
                "cut the outer tool off. Let the agent of the run call it."
            )
        found: str | None = await self._in_handler(partial(self.ask, self._numbered(key), visible(text), is_approval))
        return found

    async def question(self, key: str, text: str, **how: Any) -> Any:
        """Return the answer to a question of the author's code, in any task, as `Context.ask` returns it.

        Args:
            key: Tells the question from others of the run. One that is asked again has a question of its own.
            how: As for `Context.ask`.
        """

        async def ask(key: str) -> Any:
            try:
                found = await self._ctx.ask(TextPart(value=visible(text)), key=f"{self._settings.name}/{key}", **how)
            finally:
                self._ctx.event = self._settings.event
            self._entries.next_part()
            return found

        return await self._in_handler(partial(ask, self._numbered(key)))

    def _numbered(self, key: str) -> str:
        number = self._counts[key]  # a provider may use an id again
        self._counts[key] += 1
        return f"{key}#{number}" if number else key

    async def _in_handler(self, ask: Callable[[], Awaitable[T]]) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._open.append((ask, answer))
        self._notify()
        return await answer

    async def ask(self, key: str, text: str, is_approval: bool) -> str | None:
        """Ask in the handler's task. Return None if a call is approved, else what the model reads."""
        try:
            found = await (self._decision if is_approval else self._answer)(f"{self._settings.name}/{key}", text)
        finally:
            # The run stays that of the person who wrote: another one may have approved, whose rights no tool may use.
            self._ctx.event = self._settings.event
        self.asked.append((key, text, is_approval))
        self._entries.next_part()
        return found

    async def _decision(self, key: str, text: str) -> str | None:
        ctx, options = self._ctx, self._settings.turn.options
        if ctx.side is not None:
            return "Not now: the person has not answered another question yet. Nothing was done."
        postpones = options.other_topic == "postpone"
        # Those who are named decide, and the person who wrote only if named too.
        who = "others" if options.approvers and self._settings.approver == "asker" else self._settings.approver
        decider = "The person" if who == "asker" else "The approver"  # the model talks with the person
        try:
            is_approved = await ctx.ask(
                *_parts(text),
                yes="like",
                who=who,
                also=options.approvers,
                meanwhile=None if options.meanwhile is None else in_language(options.meanwhile, "asked_elsewhere"),
                tries=1,
                repeat=postpones,
                side_questions=postpones,
                key=key,
            )
        except AskCancelled as error:
            if error.reason == "word":
                return f"{decider} does not want this any more."
            if error.reason != "invalid":
                raise
            # Recorded, because later runs of the handler no longer know the message.
            wrote = in_mark(error.said)
            said = await ctx.once(f"{key}/instead", lambda _: wrote, kind=str, retry=True)
            return f"{decider} has not approved this, and wrote instead: {said}"
        return None if is_approved else f"{decider} said no."

    async def _answer(self, key: str, text: str) -> str:
        if self._ctx.side is not None:
            return "Not now: the person has not answered another question yet."
        try:
            said = await self._ctx.ask(*_parts(text), key=key)
        except AskCancelled as error:
            if error.reason != "word":
                raise
            return "The person does not want to answer."
        return said_by("They", said, always=False)


def _parts(text: str) -> list[TextPart]:
    # Texts that get no preview card: see `saying.py`.
    return [TextPart(value=each) for each in bubbles(text)]


def needs_approval(settings: Settings, tool: str, arguments: Mapping[str, Any]) -> bool:
    """Return True if the policy of the bot's author wants an approval for a call."""
    policy = settings.turn.options.needs_approval
    return policy(tool, arguments, settings.event.actor) if callable(policy) else tool in policy


def warn_of_unknown_names(settings: Settings, offered: Iterable[str]) -> None:
    """Log each name of `needs_approval` that no tool has, once: calls of a tool whose name it misspells are made unasked.

    The run goes on, because a tool may be offered in some runs only, and another agent of the bot may have it.

    Args:
        offered: The names of the tools that the model of this run may call.
    """
    known, policy = settings.turn.shared.known_tools, settings.turn.options.needs_approval
    tools = set(offered)
    known |= tools
    if callable(policy) or not tools:
        return
    for name in policy:
        if name not in known:
            from difflib import get_close_matches  # imported late: most bots never need it

            known.add(name)
            settings.ctx.log.warning(
                "agent.unknown_tool",
                needs_approval=name,
                nearest=next(iter(get_close_matches(name, tools - {*policy}, 1, _LEAST_LIKENESS)), None),
                why="No tool of this agent has the name in LinqAgent(needs_approval=…), so no call is asked about.",
            )
