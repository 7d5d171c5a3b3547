"""The questions of a graph of LangGraph: each `interrupt` is a question of `ctx.ask`, and its answer resumes the graph.

A question ends the handler, and the answer runs it again, through the whole graph: see `langgraph.py`. There LangGraph comes to
the interrupt again, and is resumed with the answer. It then runs the interrupted node from its start, so `Tasks` keeps what the
node has got from durable models and tools. LangGraph keeps the other nodes by a checkpointer, which lives for one run of the
handler. The first run needs none: it ends at the question.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from langchain_core.runnables import RunnableConfig, ensure_config
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt, StateSnapshot, interrupt

from linqbot import BotError
from linqbot.characters import to_json
from linqbot.errors import TurnDeferred
from linqbot_agent.entries import digest_of, going_on, idempotency_key, is_in_step, step_around
from linqbot_agent.foreign_data import clean
from linqbot_agent.loops import Loop
from linqbot_agent.run import Settings

_INTERRUPTS: Final = "__interrupt__"
"""The name under which LangGraph returns the interrupts of a graph, next to the values of its state."""

_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "string": {},
    "boolean": {"yes": "like"},
    "integer": {"kind": int},
    "number": {"kind": float},
}
"""By the types of a response schema that people can answer: the arguments of `ctx.ask`."""


def check(graph: object) -> None:
    """Check that a graph can be run to its end. Other objects pass.

    Raises:
        BotError: it has breakpoints, or a checkpointer that keeps what it has said.
    """
    if not isinstance(graph, CompiledStateGraph):
        return
    inner = (each for _, each in graph.get_subgraphs(recurse=True) if isinstance(each, Pregel))
    for each in (graph, *inner):
        if each.interrupt_before_nodes or each.interrupt_after_nodes:
            raise BotError(
                "The graph is compiled with interrupt_before= or interrupt_after=, where linqbot_agent.langgraph cannot go on: "
                "a breakpoint has no question. Leave it out, and ask in the node: answer = interrupt('Shall I go on?')."
            )
    if not isinstance(graph.checkpointer, InMemorySaver | bool | None):
        raise BotError(
            f"The graph has a {type(graph.checkpointer).__name__} as its checkpointer, which would add each conversation to what "
            "it keeps of earlier ones. Compile the graph without: run(graph, ctx) gives it the messages of the chat, and "
            "records what its durable models and tools do."
        )


async def run_to_the_end(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    given: Mapping[str, Any],
    config: RunnableConfig,
    *,
    loop: Loop,
    settings: Settings,
    tasks: Tasks,
    context: object,
) -> Any:
    """Return the state with which a graph ends. What it asks is asked in the chat.

    Raises:
        BotError: an interrupt is one that no person can answer.
        AskTimeout, AskCancelled: a question has ended without an answer.
    """
    questions = _Questions(loop, settings)
    if is_resumable := questions.were_asked:
        graph = graph.copy({"checkpointer": InMemorySaver()})
        config = {**config, "configurable": {**config.get("configurable", {}), "thread_id": settings.run_id}}
    elif graph.checkpointer is not None:
        graph = graph.copy({"checkpointer": None})
    what: Mapping[str, Any] | Command[Any] = given
    while True:
        state = await graph.ainvoke(what, config, context=context, durability="exit" if is_resumable else None)
        found = list(state.get(_INTERRUPTS, ()))
        if not found:
            return state
        if is_resumable:
            # In the order of the tasks, and not in that in which they have ended. A checkpoint has other half characters.
            asked = {each.id: each for each in found}
            found = [asked.get(each.id, each) for each in _waiting(await graph.aget_state(config, subgraphs=True))]
        else:
            found = _as_called(found, state)
        what = Command(resume=await questions.answers(found))
        if not is_resumable:
            # There was nothing to ask, such as about a call that cannot be shown. The next run keeps checkpoints.
            raise TurnDeferred("The graph goes on with a decision.", after_s=0)
        tasks.begin_again()


def _as_called(found: list[Interrupt[Any]], state: Mapping[str, Any]) -> list[Interrupt[Any]]:
    """Return interrupts in the order of the calls that they are about: the tasks of calls end in any order."""
    calls = [call for message in state.get("messages", ()) for call in getattr(message, "tool_calls", ())]
    places = {call["id"]: place for place, call in enumerate(calls)}
    return sorted(found, key=lambda each: places.get(_call_of(each), -1))


def _call_of(asked: Interrupt[Any]) -> str | None:
    return asked.value.get("tool_call_id") if isinstance(asked.value, Mapping) else None


def _waiting(state: StateSnapshot) -> Iterator[Interrupt[Any]]:
    for task in state.tasks:
        if isinstance(task.state, StateSnapshot):
            yield from _waiting(task.state)
        else:
            yield from task.interrupts


class _Questions:
    """Asks what a graph asks. The graph may ask several things at a time, and then goes on with all answers."""

    def __init__(self, loop: Loop, settings: Settings) -> None:
        self._loop = loop
        self._settings = settings
        self._place = f"{settings.name}/interrupts"
        self._rounds = 0
        self._calls = 0

    @property
    def were_asked(self) -> bool:
        """True if an earlier run of the turn has come to an interrupt."""
        return self._settings.ctx.recall(f"{self._place}#0", kind=list[str]) is not None

    async def answers(self, found: list[Interrupt[Any]]) -> dict[str, Any]:
        """Return the answers to interrupts by their ids, as LangGraph resumes a graph with them."""
        digests = {each.id: digest_of(to_json(clean(each.value))) for each in found}
        # Tasks that run side by side ask in any order. It is recorded, so that each run asks in the same one.
        order: list[str] = await self._settings.ctx.once(
            f"{self._place}#{self._rounds}", lambda _: [*digests.values()], kind=list[str], retry=True
        )
        self._rounds += 1
        places = {digest: place for place, digest in enumerate(reversed(order))}
        found.sort(key=lambda each: -places.get(digests[each.id], -1))
        answers = {each.id: await self._answer(each, digests[each.id]) for each in found}
        self._loop.note_answer()
        return answers

    async def _answer(self, asked: Interrupt[Any], digest: str) -> Any:
        value = asked.value if isinstance(asked.value, Mapping) else {}
        if {
            "action_requests",
            "review_configs",
        } <= value.keys():  # of HumanInTheLoopMiddleware, for the calls of a response
            allowed = {each["action_name"]: each["allowed_decisions"] for each in value["review_configs"]}
            requests = value["action_requests"]
            return {"decisions": [await self._decision(each, allowed[each["name"]]) for each in requests]}
        if value.get("type") == "tool_approval":  # of the same, with `interrupt_mode="per_call"`
            return await self._decision(value, _decisions(asked.response_schema))
        key, text = f"interrupt.{digest}", _text(asked.value)
        return await self._loop.questions.question(key, text, **_how(asked.response_schema))

    async def _decision(self, request: Mapping[str, Any], allowed: list[str]) -> dict[str, Any]:
        """Return the decision of a person on the call of a tool, as HumanInTheLoopMiddleware takes it."""
        tool, arguments = request["name"], clean(request["args"])
        if allowed == ["respond"]:
            asked = request.get("description") or tool
            said = await self._loop.questions.question(f"respond.{digest_of(to_json([tool, arguments]))}", asked)
            return {"type": "respond", "message": said}
        if not {"approve", "reject"} <= {*allowed}:
            raise BotError(
                f"HumanInTheLoopMiddleware allows {allowed} for the tool {tool}, and a person says yes or no. Give it "
                "allowed_decisions=['approve', 'reject'], or ['respond'] for a tool whose result is the person's answer."
            )
        reason = await self._loop.decide(tool, request.get("tool_call_id") or f"interrupt{self._calls}", arguments)
        self._calls += 1
        if reason is not None:
            return {"type": "reject", "message": reason}
        self._loop.note_approval(tool, arguments)
        return {"type": "approve"}


def _decisions(schema: Any) -> list[str]:
    """Return the decisions that the response schema of a call's approval allows."""
    every = schema.get("oneOf") or schema.get("anyOf") or [schema]
    definitions = schema.get("$defs", {})
    return [
        each.get("properties", {}).get("type", {}).get("const")
        for each in (definitions.get(one.get("$ref", "").rpartition("/")[2], one) for one in every)
    ]


def _how(schema: Any) -> Mapping[str, Any]:
    """Return the arguments of `ctx.ask` for an answer that fits a response schema.

    Raises:
        BotError: a person cannot write such an answer.
    """
    if schema is None:
        return {}
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if choices and all(isinstance(each, str) for each in choices):
        return {"choices": choices}
    if not choices and (how := _KINDS.get(schema.get("type"))) is not None:
        return how
    raise BotError(
        f"interrupt(…, response_schema=…) wants an answer with the schema {schema}, which no person can write in a message. "
        "Use bool, int, float, str or a Literal of texts, and one interrupt for each value."
    )


def _text(value: object) -> str:
    """Return what an interrupt shows to the person: a text as it is, other data by its names."""
    data = clean(value)
    if not isinstance(data, dict):
        return _said(data)
    if len(data) == 1:
        return _said(*data.values())
    lines = (_said(each) if name == "question" else f"{name}: {_said(each)}" for name, each in data.items())
    return "\n".join(lines)


def _said(data: Any) -> str:
    if isinstance(data, list) and all(isinstance(each, str) for each in data):
        return ", ".join(data)
    return data if isinstance(data, str) else to_json(data).decode()


class Tasks:
    """Results of durable models and tools that the nodes of a graph have got in this run of the handler.

    LangGraph runs a node again from its start when a question in it is answered. The requests and calls that it has made
    before that question return the same then, without being made, recorded or said again. A node runs as a task, which has
    the same name whenever it runs.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Any] = {}
        self._asked: defaultdict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        self._counts: Counter[tuple[str, ...]] = Counter()

    def begin_again(self) -> None:
        """Begin to count the requests and calls of each task again: tasks that were interrupted run from their start."""
        self._counts.clear()

    def _begun(self, *what: str) -> tuple[Any, ...]:
        task = (ensure_config().get("metadata") or {}).get("langgraph_checkpoint_ns", "")
        place = (task, *what)
        self._counts[place] += 1
        return (*place, self._counts[place])

    async def response(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """Return a response of the model: the same whenever the task runs."""
        key = self._begun("model")
        if key not in self._made:
            self._made[key] = await request()
        return self._made[key]

    async def result(self, tool: str, call_id: str, call: Callable[[_Act], Awaitable[Any]], act: _Act) -> Any:
        """Return the result of a tool: the same whenever the task runs.

        If the tool itself interrupts the graph, the interrupt is recorded as its result. In later runs of the handler the
        tool is called again when the answer is known, and not before. Its calls are one step with one key.

        Args:
            call: Records what a function returns.
            act: Calls the tool.
        Raises:
            GraphInterrupt: the tool asks a question.
        """
        key = self._begun("tool", tool, call_id)
        asked, is_made, is_inside = self._asked[key], False, is_in_step()

        async def made() -> Any:
            nonlocal is_made
            is_made = True
            return await _resumed(tool, asked, act, is_inside=is_inside)

        if key not in self._made:
            found = await call(made)
            if is_question(found):
                _pass(asked, is_made=is_made)
                asked.append(found)
                interrupt(found["question"], response_schema=found["schema"])
            self._made[key] = found
        _pass(asked, is_made=is_made)
        return self._made[key]


_Act = Callable[[], Awaitable[Any]]


def _pass(asked: list[dict[str, Any]], *, is_made: bool) -> None:
    """Pass the questions of a tool that are answered, if the tool was not called and has not done so itself.

    LangGraph finds the answers of a task by the number of its questions.
    """
    for each in () if is_made else asked:
        interrupt(each["question"], response_schema=each["schema"])


async def _resumed(tool: str, asked: list[dict[str, Any]], act: _Act, *, is_inside: bool) -> Any:
    """Call a tool, in the step of its first call. Return its result, or the question by which it has interrupted the graph."""
    step = asked[0]["step"] if asked else [step_around(), idempotency_key()]
    try:
        with going_on(*step):
            return await act()
    except GraphInterrupt as error:
        (own,) = _own_interrupts()
        (*others, found) = error.args[0]
        if is_inside or others or found.id != own.id:
            raise BotError(
                f"The tool {tool} asks a question inside of another durable tool, or by a graph of its own. A question ends the "
                "handler, which would cut the outer tool off. Let the agent of the run call the tool, or make the graph a node."
            ) from None
        return {"question": clean(found.value), "schema": found.response_schema, "step": step}


def _own_interrupts() -> tuple[Interrupt[Any], ...]:
    """Return an interrupt that the running task would raise now. Those of a graph inside of it have other ids."""
    try:
        interrupt(None)
    except GraphInterrupt as error:
        return tuple(error.args[0])
    raise AssertionError("the task has passed all its answered questions")


def is_question(recorded: Any) -> bool:
    """Return True if the recorded result of a tool is a question, behind which the tool is called again."""
    return isinstance(recorded, dict) and "question" in recorded
