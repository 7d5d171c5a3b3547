"""`run`: answers a message with an agent. A run that is cut off goes on where it was, and says everything once.

The agent runs of one turn are numbered, and run one after the other.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic import BaseModel

from linqbot import BotError, Context, Event
from linqbot.clock import Clock
from linqbot.errors import TurnDeferred
from linqbot.frames import place_of
from linqbot.language import in_language
from linqbot.speakers import SaidText
from linqbot.storage.backend import Storage
from linqbot_agent.budget import Account, BudgetUsedUp
from linqbot_agent.entries import Entries
from linqbot_agent.progress import PROGRESS, Progress
from linqbot_agent.saying import Output, Speech, say, text_of

if TYPE_CHECKING:
    from pydantic_ai.agent import AbstractAgent

    from linqbot_agent.mcp import McpServer
    from linqbot_agent.plugin import LinqAgent

NAME = "agent"
"""The name of the plugin, and of its value in `ctx.plugins`."""


@dataclass(slots=True)
class Counts:
    """Counts of the runs of a bot's agents since the process began.

    A run that is answered from the record is not counted again.

    Attributes:
        runs: Runs that ended with an answer.
        requests: Requests that models answered, also for summaries, and for agents that a tool asks with `usage=ctx.usage`.
        input_tokens, output_tokens: The tokens of these requests, as the provider reports them.
        tool_calls: Calls of tools that returned, or made the model try something else.
        outages: Runs that ended because a model failed, or an MCP server was away.
    """

    runs: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    outages: int = 0

    def add(self, usage: Mapping[str, int]) -> None:
        self.requests += usage.get("requests", 0)
        self.input_tokens += usage.get("input_tokens", 0)
        self.output_tokens += usage.get("output_tokens", 0)


Prompt: TypeAlias = str | Sequence[Any]
"""A text, or texts and files as pydantic-ai takes them, such as `BinaryContent`."""


@dataclass(slots=True)
class Shared:
    """The values that all agent runs of a bot share."""

    clock: Clock | None = None  # that of the bot; None if the bot does not run
    storage: Storage | None = None  # the same
    counts: Counts = field(default_factory=Counts)
    unpriced: set[str] = field(default_factory=set)  # the models whose price is not known
    known_tools: set[str] = field(default_factory=set)  # the names of tools that were offered, or warned of
    connections: dict[str, Any] = field(default_factory=dict)  # by the ids of MCP servers; see `mcp.tools_of`
    photos: dict[str, bytes] = field(default_factory=dict)  # the newest converted ones, by the digest of the file
    # Converts photos, one at a time: a large one takes 150 MB.
    converter: Executor = field(default_factory=partial(ThreadPoolExecutor, 1, "linqbot-photos"))


@dataclass(slots=True)
class AgentTurn:
    """The agent runs of one run of a handler."""

    options: LinqAgent
    account: Account  # what the person may still use of the model
    shared: Shared
    runs: int = 0
    is_running: bool = False

    def count(self, response: Any) -> None:
        """Count a request that a model has answered with a response, as JSON data."""
        self.shared.counts.add({**response["usage"], "requests": 1})


@dataclass(frozen=True, slots=True)
class Settings:
    ctx: Context
    event: Event  # The event that the run answers. After a question, that of the context is the answer.
    name: str  # the name of the run, the same whenever the turn runs again
    turn: AgentTurn
    timeout_s: float
    approver: str
    progress: Progress  # the text to say if nothing was said for a while
    speech: Speech  # says the answer
    entries: Entries  # the record of the run
    stream: bool = False
    servers: Sequence[McpServer] = ()

    @property
    def run_id(self) -> str:
        """Return an id of the run, for traces too: the same whenever the turn runs again."""
        return f"{self.event.event_id}/{self.name}"


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool of an MCP server. Its calls return a text, and True if the text is that of an error."""

    name: str
    description: str
    schema: dict[str, Any]
    asks: bool  # True if each call needs approval
    call: Callable[[dict[str, Any]], Awaitable[tuple[str, bool]]]


async def server_tools(settings: Settings) -> list[ServerTool]:
    if not settings.servers:
        return []
    from linqbot_agent.mcp import tools_of  # an extra

    return await tools_of(settings)


class Answer(BaseModel):
    outputs: list[Output] = []  # the things to say
    said: str = ""  # the text that was said while the model wrote it
    bubbles: list[list[str]] = []  # see `Entries.said`
    steps: list[list[str]] = []  # see `Entries.steps`
    work: list[Any] = []  # what the tools did; see `memory.answer_of`
    asked: list[tuple[str, str, bool]] = []  # the questions of the run; see `Questions.asked`
    has_unrecorded: bool = False  # see `Entries.runs_again`
    talk: list[Any] = []  # with `memory="person"`, what is kept of the run; see `memory.answer_of`
    unreadable: list[str] = []  # the digests of files that the provider has refused in the run


MOST_REQUESTS: Final = 50
"""The most requests of a run to its model, of any framework: one that calls tools again and again gives no answer."""
TROUBLE: Final = "linqbot_agent.Trouble"
"""The name of the state, next to the states of the bot's author."""
_PAUSE_S: Final = 3600.0
"""The time between two apologies to one person."""
_ANSWERING: Final = "linqbot_agent.answering"


class Trouble(BaseModel):
    """The state of a person whom an agent could not answer.

    Attributes:
        said_at: The time of the last apology, in Unix seconds; None since an agent has answered again.
    """

    said_at: float | None = None


async def run(
    agent: AbstractAgent[Any, Any],
    ctx: Context,
    prompt: Prompt | None = None,
    *,
    deps: object = None,
    stream: bool = False,
    timeout_s: float = 60.0,
    progress: str | None = PROGRESS,
    progress_after_s: float = 5.0,
    sorry: str | EllipsisType | None = ...,
    approver: str = "asker",
    servers: Sequence[McpServer] = (),
) -> str | None:
    """Answer the event's message with an agent, in the event's chat.

    Each request to the model and each tool call is recorded before the next one begins. If the turn runs again, after a
    crash, a failure or a question, recorded ones are not repeated. A request or a tool call that was cut off is made
    again: see `idempotency_key`. The answer is read as Markdown and said in messages, each of them once.

    Only the agent's output is said, unless `stream` is True: a text, a `Say`, `Tapback`, `Poll` or `Media`, or a list
    of these. An empty text, `Silence` and None say nothing. If the model fails, the turn ends with an
    apology, or waits for the model: see `outage` of `LinqAgent`.

    Args:
        agent: A pydantic-ai agent. Its output type is `str`, or one or several of the output types of this package.
        prompt: The prompt: a text, or texts and files as pydantic-ai takes them. None is the text of the event's message.
        deps: The dependencies of the agent's tools; None is `ctx`.
        stream: True says texts while the model writes them, and also those that it writes before it calls a tool.
        timeout_s: The longest time of one request to the model, in seconds.
        progress: The text to say, once, if nothing was said for a while; None says nothing.
        progress_after_s: The seconds after which it is said.
        sorry: The text to say when the model fails; None says nothing. Without it, that of `LinqAgent`.
        approver: Who approves calls of tools that need approval: `asker` is the person who caused the event, unless
            `LinqAgent` names `approvers`; else the handle of a person, who is asked where they are, next to those.
        servers: MCP servers whose tools the agent gets; see `linqbot_agent.mcp`.
    Returns:
        The text that was said, a paragraph for each `Say`; empty if there was none. None if the model failed, or the
        person has used up the budget.
    Raises:
        BotError: the bot has no plugin LinqAgent, another agent of this turn is running, there is no prompt, a toolset
            of the agent has no id, the agent's output is none of these types, or `stream` is True for a model that
            writes JSON.
        AskTimeout: a call needed approval, and no answer came within a day.
        AskCancelled: the question for approval was ended, or could not be sent.
        ResultNotRecorded: the result of a tool cannot be written as JSON.

    Example: `await run(agent, ctx)`
    """
    async with agent_run(
        ctx,
        stream=stream,
        timeout_s=timeout_s,
        progress=progress,
        progress_after_s=progress_after_s,
        sorry=sorry,
        approver=approver,
        servers=servers,
    ) as settings:
        await _import_answering()
        from linqbot_agent.answering import answered, cut, repeated

        name, speech, given = settings.name, settings.speech, ctx if deps is None else deps
        if (answer := ctx.recall(f"{name}/answer", kind=Answer)) is None:
            found = await answered(agent, settings, prompt, deps=given)
            # From here on the answer stands, whatever today's code would say: a part of it may have been said.
            answer = await ctx.once(f"{name}/answer", lambda _: found, kind=Answer, retry=True, restartable=True)
            settings.turn.shared.counts.runs += 1
        else:
            await repeated(answer, agent, settings, prompt, deps=given)
        await say(answer.outputs, speech, ctx, settings.event, key=name)
        text = answer.said or text_of(answer.outputs)
        if not speech.is_cut or not text:
            return SaidText(text)
        return SaidText(await cut(answer, settings))
    return None


ASK_FOR_WORDS: Final = "[Your answer was empty, and the person has read nothing of what you did. Say in one sentence what was done. Call no tool.]"
"""The words by which a model is asked once more that says nothing when its tools have acted."""


async def owes_words(settings: Settings) -> bool:
    """Return True if a run whose tools have acted must not end without words: no tool has done something in the chat itself.

    It is called once in a run.
    """
    if settings.turn.options.done is None:
        return False
    has_spoken = settings.entries.has_spoken
    # Later runs of the turn have the results of tools from the record, and do not see what they have done besides.
    name = f"{settings.name}/spoken"
    return not await settings.ctx.once(name, lambda _: has_spoken, kind=bool, retry=True, restartable=True)


def done(settings: Settings) -> str:
    """Return the text that says that something was done."""
    return in_language(settings.turn.options.done, "done") or ""


class ModelFailed(Exception):
    """A model did not answer, or its answers were of no use.

    Args:
        error: The error. It may be a group with one for each model of a FallbackModel.
        model: The name of the model, which the error may know better.
        is_away: True if the same request may succeed later.
        after_s: The seconds to wait before it, if the provider has named them.
    Attributes:
        facts: What may be logged: the class of the error, the place of the author's code at which it was raised, the HTTP
            status and the model.
        log_event, reason: The name of the line in the log, and why the turn is deferred.
    """

    log_event = "agent.model_failed"
    reason = "The provider of the agent's model is away."

    def __init__(self, error: Exception, model: str, *, is_away: bool, after_s: float | None = None) -> None:
        super().__init__(type(error).__name__)
        last = error.exceptions[-1] if isinstance(error, ExceptionGroup) else error
        self.facts = {
            "error": type(error).__name__,
            "at": place_of(last),
            "status": getattr(last, "status_code", None),
            "model": getattr(last, "model_name", None) or model or None,
        }
        self.is_away = is_away
        self.after_s = after_s


class ServerAway(ModelFailed):
    """An MCP server did not name its tools, so the model was not asked."""

    log_event = "agent.server_away"

    def __init__(self, error: Exception) -> None:
        super().__init__(error, "", is_away=True)
        self.reason = str(error)
        self.facts = {"why": self.reason}


def is_away(status: int) -> bool:
    """Return True for an HTTP status after which the same request may succeed later.

    A wrong key and an unpaid bill are corrected by the operator. Until then no message may be lost.
    """
    return status in (401, 402, 403, 408, 425, 429) or status >= 500


@asynccontextmanager
async def agent_run(
    ctx: Context,
    *,
    stream: bool,
    timeout_s: float,
    sorry: str | EllipsisType | None,
    approver: str,
    servers: Sequence[McpServer],
    progress: str | None = PROGRESS,
    progress_after_s: float = 5.0,
) -> AsyncIterator[Settings]:
    """Run a block as the next run of an agent in the turn; see `run`. Its name is the same whenever the turn runs again.

    If the block raises `ModelFailed`, the person hears an apology, or the turn waits for the model.
    """
    turn: Any = ctx.plugins.get(NAME)
    if not isinstance(turn, AgentTurn):
        raise BotError("run(agent, ctx) needs the plugin LinqAgent. Write: bot = Bot(plugins=[LinqAgent()])")
    if turn.is_running:
        raise BotError(
            "run() was called while another agent of this turn was running. Two runs at a time could swap their "
            "records: await one after the other. In a tool, call the other agent directly: await other.run(…)."
        )
    turn.is_running = True
    turn.runs += 1
    name, options = f"agent{turn.runs}", turn.options
    soon = Progress(in_language(progress, "one_moment"), progress_after_s, turn.shared.clock)
    speech = Speech(ctx, options.max_messages, in_language(options.more, "more"))
    try:
        entries = Entries(ctx, name)
        yield Settings(ctx, ctx.event, name, turn, timeout_s, approver, soon, speech, entries, stream, servers)
        (await _trouble(ctx)).said_at = None
    except ModelFailed as error:
        ctx.log.warning(error.log_event, **error.facts)
        turn.shared.counts.outages += 1
        if error.is_away and options.outage == "defer":
            raise TurnDeferred(error.reason, after_s=error.after_s) from None
        await apologise(ctx, options.sorry if isinstance(sorry, EllipsisType) else sorry, key=f"{name}/sorry")
    except BudgetUsedUp:
        # Not the key of the apology: a run that was killed behind it may find that the budget is used up by now.
        if (notice := await turn.account.notice()) is not None:
            await ctx.reply(notice, key=f"{name}/notice")
    finally:
        turn.is_running = False


async def _import_answering() -> None:
    """Import what runs an agent. pydantic-ai takes half a second to import, which other chats must not wait for."""
    # A module is in `sys.modules` from the beginning of its import. Importing it then would block until the end.
    if not hasattr(sys.modules.get(_ANSWERING), "answered"):
        await asyncio.to_thread(import_module, _ANSWERING)


async def apologise(ctx: Context, text: str | None, *, key: str) -> None:
    """Say that the person gets no answer, at most once an hour until an agent answers this person again."""
    last, now = await _trouble(ctx), ctx.now("UTC").timestamp()
    if text is not None and (last.said_at is None or now >= last.said_at + _PAUSE_S):
        last.said_at = now
        await ctx.reply(in_language(text, "sorry"), key=key)


async def _trouble(ctx: Context) -> Trouble:
    # An event without a person, such as a schedule, is one of its chat.
    about = ctx.state.person if ctx.event.actor and not ctx.event.is_own else ctx.state.chat
    return await about(Trouble, name=TROUBLE)
