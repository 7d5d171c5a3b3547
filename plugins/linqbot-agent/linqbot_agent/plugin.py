"""The plugin `LinqAgent`: the settings of all agent runs of a bot."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import structlog

from linqbot import (
    Bot,
    BotError,
    Context,
    Event,
    Failure,
    Fetched,
    MessageEdited,
    MessageReceived,
    Router,
    Running,
    hookimpl,
)
from linqbot.client.call import Run
from linqbot.language import ENGLISH
from linqbot_agent.budget import Account, Budget
from linqbot_agent.guard import check_broadcast, guarded
from linqbot_agent.photos import can_convert
from linqbot_agent.progress import noticing
from linqbot_agent.run import NAME, AgentTurn, Counts, Shared, apologise, run

log = structlog.get_logger("linqbot.agent")

SORRY: Final = ENGLISH.sentences.sorry
MORE: Final = ENGLISH.sentences.more
DONE: Final = ENGLISH.sentences.done
MEANWHILE: Final = ENGLISH.sentences.asked_elsewhere

Memory: TypeAlias = Literal["chat", "person"]
NeedsApproval: TypeAlias = Collection[str] | Callable[[str, Mapping[str, Any], str | None], bool]
OtherTopic: TypeAlias = Literal["dismiss", "postpone"]
Handle: TypeAlias = Callable[[Event, Context], Awaitable[None]]
Outage: TypeAlias = Literal["apologise", "defer"]


@dataclass(kw_only=True, eq=False, repr=False)
class LinqAgent:
    """Lets the handlers of a bot answer with `run(agent, ctx)`.

    Give it to the bot: `Bot(plugins=[LinqAgent()])`.

    Args:
        history: The number of earlier messages that an agent is shown, with the results of its tools. 0 shows none.
        memory: `chat` shows the messages of the chat, as Linq has them. `person` shows what this person and the agent said
            to each other, in all chats; it is stored about the person. In a group it shows only what was said there, because
            others read the answer. None shows and keeps nothing.
        private_in_groups: True shows with `memory="person"` also in groups what this person said elsewhere, such as in their
            own chat.
        history_tokens: The most tokens of these messages, by estimate: the oldest are left out. None is half of what the
            model can read, if that is known.
        summary_model: A model, as pydantic-ai takes it, that writes a summary of the messages that are left out, once for
            each; None writes none. Not in groups with `memory="chat"`.
        images: The number of the newest pictures, of at most 4 MiB, that the model is shown: 0 shows the names of files only.
            Photos of iPhones (HEIC) are shown as JPEG, if pillow-heif is installed (`linqbot-agent[heic]`).
        documents: The number of the newest PDF and text files of at most 10 MiB that the model is shown; 0 shows names only.
            A PDF that the provider refuses is shown as text, if pypdf is installed (`linqbot-agent[pdf]`).
        transcribe: An async function that is given a voice memo as a `Fetched`, with `content` and `mime_type`, and returns
            what it says. The model is shown this text, and it is stored about the person; None shows names only. A function
            that raises, or needs longer than a request may, lets the model know that the memo cannot be heard.
        budget: What one person may use of the model in a period, such as a day; None for any amount.
        elsewhere: The names of tools that may act outside of the chat of their turn, without approval. Other tools may
            not: their calls to Linq are refused.
        needs_approval: The names of tools whose calls a person must approve, in any framework. Or a function that is given
            the name of the tool, its arguments as the model wrote them, and the handle of the person for whom the agent
            runs (None without one), and returns True if the call needs an approval. It is called in each run of the turn,
            so it returns the same for the same call. A name that no tool of an agent has is logged once, with the nearest
            name.
        unapproved: The names of tools that need no approval, although they have `metadata={"writes": True}`, or their MCP
            server marks them with `destructiveHint`.
        known_links: True keeps web and e-mail addresses, links of apps and phone numbers out of answers that occur nowhere in
            what the model was shown. The model is asked again once; then they are cut. With `run(stream=True)` they are cut at
            once.
        approvers: Handles of people, such as owners. They approve calls of tools, and no one else does: the person for
            whom the agent runs only if named. One who is not in the chat is asked in their own chat with the bot, which says
            for whom. Without any, the person for whom the agent runs approves.
        meanwhile: The text for the chat once a person is asked elsewhere; None says nothing.
        other_topic: What becomes of a question for approval when the person writes neither yes nor no. `dismiss` drops
            the call, and the model answers what the person wrote. `postpone` handles the message as usual, and
            then sends the question again.
        sorry: The text for a person who gets no answer, because the model fails or the bot gives the message up; None says
            nothing. It is said at most once an hour to each person, until an agent answers again. If the bot has
            `on_trouble` or an `on_dead_letter` handler, that speaks for messages that are given up.
        done: The text that is said when tools have acted and the model then says nothing, also when it is asked once more. None
            leaves it at that, and asks nothing more. A tool that has itself said or done something in the chat is enough.
        outage: What becomes of a message when the provider of the model, or an MCP server, is away, asks to wait, or
            refuses the key. `apologise` says `sorry`, and the message is not answered. `defer` answers it when the provider
            is back, at most a day later. Until then the chat waits.
        max_messages: The most messages of one answer. What is longer is cut.
        more: The text that is said instead of the rest of an answer, in one message more.
        trace_content: True lets the spans of pydantic-ai's own instrumentation hold texts, as its settings say. Those of
            lines with zero retention never do.
    Attributes:
        counts: What the agents have done, for metrics.
    Raises:
        BotError: `memory`, `other_topic` or `outage` is unknown, a number is too small, `budget` is no `Budget`, or what must
            be a list is none, such as a text.
    """

    name: ClassVar[str] = NAME
    required: ClassVar[bool] = True
    """Without the plugin no agent answers, and its guard holds back no tool. So the bot does not start without it."""

    history: int = 20
    budget: Budget | None = None
    elsewhere: Collection[str] = ()
    approvers: Sequence[str] = ()
    other_topic: OtherTopic = "dismiss"
    needs_approval: NeedsApproval = ()
    unapproved: Collection[str] = ()
    known_links: bool = False
    memory: Memory | None = "chat"
    private_in_groups: bool = False
    history_tokens: int | None = None
    summary_model: Any = None
    images: int = 0
    documents: int = 0
    transcribe: Callable[[Fetched], Awaitable[str]] | None = None
    sorry: str | None = SORRY
    done: str | None = DONE
    outage: Outage = "apologise"
    max_messages: int = 10
    more: str = MORE
    meanwhile: str | None = MEANWHILE
    trace_content: bool = False
    counts: Counts = field(init=False)
    _shared: Shared = field(default_factory=Shared, init=False)

    def __post_init__(self) -> None:
        choices = {"memory": (*get_args(Memory), None), "other_topic": get_args(OtherTopic), "outage": get_args(Outage)}
        for name, known in choices.items():
            if (given := getattr(self, name)) not in known:
                raise BotError(f"LinqAgent({name}={given!r}): give one of {', '.join(map(repr, known))}.")
        for name in ("approvers", "elsewhere", "needs_approval", "unapproved"):
            several = getattr(self, name)
            is_function = name == "needs_approval" and callable(several)
            if isinstance(several, str) or not (isinstance(several, Collection) or is_function):
                example = f", such as [{several!r}]" if isinstance(several, str) else ""
                raise BotError(f"LinqAgent({name}={several!r}): give a list{example}.")
        least_of = {"history": 0, "history_tokens": 1, "images": 0, "documents": 0, "max_messages": 1}
        for name, least in least_of.items():
            number, or_none = getattr(self, name), ", or None" if name == "history_tokens" else ""
            if not (isinstance(number, int) and number >= least) and not (number is None and or_none):
                raise BotError(f"LinqAgent({name}={number!r}): give a whole number, {least} or more{or_none}.")
        if not isinstance(self.budget, Budget | None):
            raise BotError(f"LinqAgent(budget={self.budget!r}): give a Budget, such as Budget(requests=100), or None.")
        if not self.history:
            self.memory = None
        self.counts = self._shared.counts

    @hookimpl
    def register_context(self) -> Mapping[str, Callable[[Event, Context], Any]]:
        return {self.name: self._turn}

    @hookimpl
    def register_routers(self, bot: Bot) -> Iterable[Router]:
        _check_agents(bot)
        router = Router()
        if self.sorry is not None and bot.on_trouble is None:
            router.on_dead_letter(self._given_up)
        if self.memory == "person" and not any(issubclass(MessageEdited, route.event) for route, _ in bot.walk()):
            router.on_edit(_remembered)  # without a handler, edits would be acknowledged unread
        return [router]

    @hookimpl
    def register_middleware(self) -> Iterable[Callable[[Handle], Handle]]:
        return [_with_edits] if self.memory == "person" else []

    @hookimpl
    def register_outbound(self) -> Iterable[Callable[[Run], Run]]:
        return [guarded, noticing]

    @hookimpl
    def started(self, running: Running) -> None:
        self._shared.clock, self._shared.storage = running.clock, running.storage
        if self.images and not can_convert():
            log.warning(
                "agent.no_photos_of_iphones",
                why="LinqAgent(images=…) shows pictures, and no model reads the HEIC format of an iPhone's photos.",
                to_do="Install linqbot-agent[heic].",
            )

    @hookimpl
    async def stopped(self) -> None:
        for link in self._shared.connections.values():
            await link.close()

    @hookimpl
    def register_broadcast_checks(self) -> Iterable[Callable[[str, Sequence[str]], None]]:
        return [check_broadcast]

    async def _given_up(self, failure: Failure, message: MessageReceived, ctx: Context) -> None:
        await apologise(ctx, self.sorry, key="sorry")

    def _turn(self, event: Event, ctx: Context) -> AgentTurn:
        return AgentTurn(self, Account(ctx, self.budget, self._shared.storage), self._shared)


def _with_edits(handle: Handle) -> Handle:
    """Let edits reach the memory of their person, whatever handler takes them."""

    async def taken(event: Event, ctx: Context) -> None:
        if isinstance(event, MessageEdited) and event.actor:
            # In a thread: it imports pydantic-ai, which other chats must not wait for.
            memory: Any = await asyncio.to_thread(import_module, "linqbot_agent.memory")
            await memory.take_edit(event, ctx)
        await handle(event, ctx)

    return taken


async def _remembered(edit: MessageEdited, ctx: Context) -> None:
    """Stand for a handler: `_with_edits` has done all."""


def _check_agents(bot: Bot) -> None:
    """Check the agents that handlers give to `run`, as far as the handlers name them. `run` checks each agent."""
    for handler in (route.handler for route, _ in bot.walk() if inspect.isfunction(route.handler)):
        try:
            names = inspect.getclosurevars(handler)
        except ValueError:
            continue  # a name has no value yet
        values = [*names.globals.values(), *names.nonlocals.values()]
        if run in values and (pydantic_ai := sys.modules.get("pydantic_ai.agent")) is not None:
            # Imported late: it imports pydantic-ai, which a bot need not have done yet.
            from linqbot_agent.durability import check_toolsets

            for agent in (each for each in values if isinstance(each, pydantic_ai.AbstractAgent)):
                check_toolsets(agent)
        for module in (sys.modules.get(f"linqbot_agent.{name}") for name in ("langgraph", "openai")):
            if module is not None and module.run in values:
                for each in values:
                    module.check(each)
