"""The agent runs of one turn: they are numbered, and run one after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from linqbot import BotError, Context, Event
from linqbot.clock import Clock
from linqbot_agent.budget import Account
from linqbot_agent.outputs import Output
from linqbot_agent.progress import Progress
from linqbot_agent.saying import Speech
from linqbot_agent.written import visible

NAME = "agent"
"""The name of the plugin, and of its value in `ctx.plugins`."""


Memory: TypeAlias = Literal["chat", "person"]
"""The kind of memory: see `LinqAgent`."""


OtherTopic: TypeAlias = Literal["dismiss", "postpone"]
"""What becomes of a question for approval when the person writes something else: see `LinqAgent`."""


@dataclass(slots=True)
class Counts:
    """Counts of the runs of a bot's agents since the process began.

    A run that is answered from the record is not counted again.

    Attributes:
        runs: Runs that ended with an answer.
        requests: Requests that models answered.
        input_tokens, output_tokens: The tokens of these requests, as the provider reports them.
        tool_calls: Calls of tools that returned, or made the model try something else.
        outages: Runs that ended because a model failed.
    """

    runs: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    outages: int = 0


Outage: TypeAlias = Literal["apologise", "defer"]
"""What becomes of a message when the model's provider is away: see `LinqAgent`."""


Prompt: TypeAlias = str | Sequence[Any]
"""A text, or texts and files as pydantic-ai takes them, such as `BinaryContent`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentOptions:
    """The settings of all agent runs of a bot. `LinqAgent` describes each."""

    history: int
    memory: Memory | None
    history_tokens: int | None
    summary_model: Any
    images: int
    image_bytes: int
    elsewhere: Collection[str]
    unapproved: Collection[str]
    approvers: Sequence[str]
    other_topic: OtherTopic
    known_links: bool
    sorry: str | None
    outage: Outage
    max_messages: int
    more: str


@dataclass(kw_only=True, slots=True)
class AgentTurn:
    """The agent runs of one run of a handler."""

    options: AgentOptions
    account: Account  # what the person may still use of the model
    clock: Clock | None  # the bot's clock; None if the bot does not run
    unpriced: set[str]  # the models whose price is not known, of all runs of the bot
    counts: Counts
    _runs: int = field(default=0, init=False)
    _is_running: bool = field(default=False, init=False)

    @contextmanager
    def next_run(self) -> Iterator[str]:
        """Begin the next run, and return its name: the same in every run of the handler.

        Raises:
            BotError: an agent of this turn is running.
        """
        if self._is_running:
            raise BotError(
                "run() was called while another agent of this turn was running. Two runs at a time could swap their "
                "records: await one after the other. In a tool, call the other agent directly: await other.run(…)."
            )
        self._is_running = True
        self._runs += 1
        try:
            yield f"agent{self._runs}"
        finally:
            self._is_running = False


def turn_of(ctx: Context) -> AgentTurn:
    """Return the agent runs of a turn.

    Raises:
        BotError: the bot has no plugin LinqAgent.
    """
    turn: Any = ctx.plugins.get(NAME)
    if not isinstance(turn, AgentTurn):
        raise BotError("run(agent, ctx) needs the plugin LinqAgent. Write: bot = Bot(plugins=[LinqAgent()])")
    return turn


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run."""

    ctx: Context
    event: Event  # The event that the run answers. After a question, that of the context is the answer.
    name: str  # the name of the run, the same whenever the turn runs again
    turn: AgentTurn
    timeout_s: float
    approver: str
    progress: Progress  # the text to say if nothing was said for a while
    speech: Speech  # says the answer
    stream: bool = False


class PersonNeeded(BaseException):
    """Ends an agent's run at a call that waits for a person. Only the handler's task can ask, and pydantic-ai uses others."""

    def __init__(self, call_id: str, question: str) -> None:
        super().__init__(call_id)
        self.call_id = call_id  # the id of the call
        self.question = visible(question)  # a model may have chosen a part of it


class Summary(BaseModel):
    """A summary of older messages."""

    text: str
    upto: str  # the id of the last message in it


class Answer(BaseModel):
    """The result of a run, as it is recorded."""

    outputs: list[Output]  # the things to say
    said: str = ""  # the text that was said while the model wrote it
    bubbles: list[list[str]] = []  # see `Bubbles.keys`
    steps: list[list[str]] = []  # see `Entries.steps`
    work: list[Any] = []  # what the tools did; see `remembering.work_of`
    # The questions for approval that were asked in the run: the id of each call, and the text.
    asked: list[tuple[str, str]] = []
    questions: list[str] = []  # the ids of those calls whose tools wanted an answer in words
    has_unrecorded: bool = False  # True if a tool was called whose calls are not recorded
    talk: list[Any] = []  # with `memory="person"`, what is kept of the run; see `memory.person.exchange_of`
    summary: Summary | None = None  # the summary that was written in the run; None if there is none
    unreadable: list[str] = []  # the digests of pictures that the provider has refused in the run
