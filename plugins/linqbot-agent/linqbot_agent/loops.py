"""One run of an agent of any framework: its requests to the model and its calls of tools are steps of the turn.

`linqbot_agent.anthropic`, `.openai` and `.langgraph` stand on it. The conversation is kept as messages of pydantic-ai, as
all code for memory and files has them; a framework gives the form of a text or a file. Responses are recorded as JSON, and
have their tokens in `usage`: see `price_of_usage`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, Final

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from linqbot import BotError, MessageEdited, MessageReceived, ModelStep, Refused
from linqbot.characters import to_json
from linqbot.speakers import SaidText, visible
from linqbot_agent.approvals import Questions, needs_approval, warn_of_unknown_names
from linqbot_agent.budget import BudgetUsedUp
from linqbot_agent.entries import digest_of, is_in_step
from linqbot_agent.foreign_data import NO_OBJECT, arguments_in, clean
from linqbot_agent.guard import REFUSED, ToolCall, running
from linqbot_agent.history import Past, past_of
from linqbot_agent.links import Shown, without_invented
from linqbot_agent.memory import answer_of, keep_answer, keep_work, tally_of_call
from linqbot_agent.messages import fitting, prompt_for, prompt_of, shown_by_others, shown_to_model, told
from linqbot_agent.outputs import changed as output_changed
from linqbot_agent.requests import Change, Requests, Write, changed, go_on, history_tokens, is_of_no_api, price_of_usage
from linqbot_agent.run import (
    ASK_FOR_WORDS,
    ModelFailed,
    Prompt,
    ServerTool,
    Settings,
    done,
    is_away,
    owes_words,
    server_tools,
)
from linqbot_agent.saying import Media, Output, Say, outputs_of, say

Message = dict[str, Any]
"""A message as providers take it: with `role` and `content`."""


_INCOMING: Final = "incoming"


@dataclass(frozen=True, kw_only=True, slots=True)
class Framework:
    """The forms in which a framework has messages and responses.

    Attributes:
        block: Returns a text, or a file as a `BinaryContent`, as a block of a message.
        content: Returns the content of a message.
        shown: Returns of a message, as JSON data, what is the same whenever the turn runs again.
        text, calls_tool, is_cut: Return the text of a response, True if it calls a tool, and True if the provider has not let
            the model end it. An empty response is silence, unless it is cut.
        called: Returns the names of the tools that a response calls, of a framework that has tools for outputs.
        is_empty: Returns True for a response with nothing in it, of a framework whose refusals look so too.
        result: Returns the text of the result of a tool, as JSON data that is no text.
        has_failed: Returns True if such a result is the error of a tool that may have called other tools.
        is_question: Returns True if such a result is a question to a person, behind which the call goes on.
        failures: The errors that mean that the model's answers are of no use.
    """

    block: Callable[[Any], Message]
    content: Callable[[Any], object] = lambda message: message.get("content")
    shown: Callable[[Any], object] = lambda message: message
    text: Callable[[Any], str]
    calls_tool: Callable[[Any], bool]
    is_cut: Callable[[Any], bool]
    called: Callable[[Any], Iterable[str]] = lambda response: ()
    is_empty: Callable[[Any], bool] = lambda response: False
    result: Callable[[Any], str]
    has_failed: Callable[[Any], bool] = lambda result: False
    is_question: Callable[[Any], bool] = lambda result: False
    failures: tuple[type[Exception], ...] = ()


class NoAnswer(Exception):
    """The provider has ended a response, or held it back, before its first word, or in a call of a tool."""


class NoEnd(Exception):
    """The stream of a response has ended before the response, without an error."""


class NoResponse(Exception):
    """The answer to a request is no response of the provider's API, but such as the page of a gateway."""


@contextmanager
def reading() -> Iterator[None]:
    """Read what has answered a request in a block. If that is no response, the code that reads it fails in any of many ways."""
    try:
        yield
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise NoResponse(type(error).__name__) from error


class Loop:
    """The steps of one run.

    Attributes:
        stream: True says texts while the model writes them; False says only the text of a response that calls no tool.
        tools: The tools of MCP servers.
        has_asked: True once the model or a person was asked, or the answer was on record.
        no_objects: The ids of calls whose arguments are no object, of a framework that cannot hand these over.
        outputs: The names of tools by which the model answers.
        questions: What the run asks people.
    """

    def __init__(self, settings: Settings, framework: Framework) -> None:
        self.stream = settings.stream
        self.tools: Sequence[ServerTool] = ()
        self.requests = Requests(settings)
        self.has_asked = False
        self.no_objects = set[str]()
        self.outputs = set[str]()
        self._settings = settings
        self._framework = framework
        self.questions = Questions(settings)
        self._past = Past([])
        self._run: list[ModelMessage] = []  # the prompt, the calls of tools and their results
        self._begun: list[ModelMessage] = []  # the past and the prompt
        self._said: list[Message] = []  # the same, in the form of the framework
        self._decided: Counter[str] = Counter()  # the calls that people have approved, and that are not made yet
        self._asking: dict[str, bool] = {}  # the places of calls that go on behind a question, with True if approved
        # What came meanwhile, with the number of messages of the run before it.
        self._incoming: list[tuple[int, str]] = []
        self._instructions = ""  # those of the last request
        self._text = ""  # what the model has said last
        self._is_answered = False  # True if a person has answered a question of the author's code behind it
        self._has_ended = False  # True if the last response calls no tool, or if the last call of a tool was refused
        self._has_acted = False  # True once a tool has done what it was called for
        self._wants_words: bool | None = None  # False if the person may hear nothing of that; None before it matters
        self._owes_words = False  # True if the last response has no words although the person must hear of it

    async def answer(self, work: Coroutine[Any, Any, Any]) -> str:
        """Run a framework to its end, and return what was said.

        Args:
            work: Runs the framework, and returns its output: a text or an output type of this package, or several. It is said
                if the run did not end with a text of the model: it may be the result of a tool, or of the author's code.
        Raises:
            BotError: the output is of another type.
            ModelFailed: the model did not answer, or its answers were of no use.
        """
        speech, requests = self._settings.speech, self.requests
        try:
            output = await self.questions.run(work)
        except Exception as error:
            if (deferred := self._settings.entries.deferred) is not None:
                raise deferred from None
            await keep_work(requests, self._past, self._run)
            of_request = error is requests.error
            is_useless = isinstance(error, (NoAnswer, *self._framework.failures))
            if not (of_request or is_useless or isinstance(error, NoResponse)):
                raise
            status = getattr(error, "status_code", None)
            may_succeed = is_of_no_api(error) if status is None else is_away(status)
            raise ModelFailed(error, requests.model, is_away=of_request and not is_useless and may_succeed) from error
        is_new = not self._has_ended or (self._is_answered and output != self._text)
        outputs = self._permitted(outputs_of(output)) if self.has_asked and is_new else []
        if self._owes_words and not outputs:
            outputs = outputs_of(done(self._settings))
        await say(outputs, speech, self._settings.ctx, self._settings.event, key=f"{self._settings.name}/output")
        with_effect = (each.text for each in outputs if isinstance(each, Say) and each.effect is not None)
        said = "\n\n".join([*speech.said, *with_effect])
        await keep_answer(answer_of(requests, self._past, self._run, said), self._settings)
        return SaidText(said)

    def _permitted(self, outputs: Iterable[Output]) -> list[Output]:
        """Return outputs without the files, and with known links only the addresses, that the model has made up."""
        change, shown = self._change(), self._shown_by_others().exact
        permitted = []
        for output in outputs:
            if isinstance(output, Media) and output.url not in shown:
                self._settings.ctx.log.warning("agent.left_out", what="media", why="the model has made up its address")
            else:
                permitted.append(output_changed(output, lambda text: changed(text, change)))
        return permitted

    async def conversation(self, given: Prompt | None) -> list[Message]:
        """Return what the model is shown of the chat, up to the current message, each as one of the user or the assistant.

        Args:
            given: A prompt in place of the current message; None for none.
        Raises:
            BotError: there is nothing to answer, or the prompt has something else than texts and files.
        """
        event = self._settings.event
        self._past = await past_of(self._settings, has_prompt=given is not None)
        past = self._past.messages
        if given is not None:
            if wrong := [each for each in given if not isinstance(each, str | BinaryContent)]:
                raise BotError(f"The prompt has a {type(wrong[0]).__name__}. Give texts, and files as BinaryContent.")
            prompt: ModelMessage = ModelRequest(parts=[UserPromptPart(given)])
        elif isinstance(event, MessageReceived | MessageEdited):
            text = prompt_for(event, self._settings.ctx.already_sent, self._past.words)
            prompt = ModelRequest(parts=[UserPromptPart(text)])
        else:
            while past and isinstance(past[-1], ModelResponse):
                del past[-1]  # a provider would take it for the beginning of an answer
            if not past:
                raise BotError(f"{event.type} has no text for an agent, and the agent has no memory of the chat.")
            prompt = past.pop()
        self._run = [replace(prompt, run_id=self._settings.run_id)]
        self._begun = [*past, *self._run]
        self._said = [*self.formed(self._begun)]
        return [*self._said]

    def formed(self, messages: Iterable[ModelMessage]) -> Iterator[Message]:
        """Yield messages in the form of the framework. Those of one role that stand together are one."""
        for role, group in itertools.groupby(_items(messages), key=itemgetter(0)):
            items = [item for _, item in group]
            texts = [item for item in items if isinstance(item, str)]
            is_text = len(texts) == len(items)
            yield {"role": role, "content": "\n\n".join(texts) if is_text else [*map(self._framework.block, items)]}

    async def ask(
        self,
        messages: Sequence[Any],
        request: Callable[[list[Any], Write], Awaitable[Any]],
        *,
        model: str | None,
        instructions: str,
        is_text: bool = True,
    ) -> ModelStep[Any]:
        """Return the response of the model as JSON, and say its text, unless a tool makes the request.

        If its tools have acted, and it says nothing, it is asked once more: for words, so it calls no tool then.

        Args:
            messages: The conversation, and what the model is shown since the run began. If the code has changed since the turn
                began, so that the latter differs, the model is asked again.
            request: Makes the request, with these messages as the model can read them, and returns the response as JSON data.
            model: The name of the model, by which its price is known.
            instructions: The instructions of the agent.
            is_text: False for a response that is data, which the framework makes an output: it is not said as it is.
        """
        self.has_asked = True
        self.requests.model = model or ""
        ask = partial(self._asked, messages, request, model=model, instructions=instructions, is_text=is_text)
        step = await ask()
        if not self._is_without_words(step):
            self._owes_words = False
            return step
        if self._wants_words is None:
            self._wants_words = await owes_words(self._settings)
            if self._wants_words:
                return await self._with_words(step, ask)
        self._owes_words = self._wants_words
        return step

    async def _with_words(self, step: ModelStep[Any], ask: Callable[..., Awaitable[ModelStep[Any]]]) -> ModelStep[Any]:
        """Ask a model once more that has said nothing. Return its response, or the one without words."""
        self._owes_words = True
        try:
            again = await ask(then=[ModelRequest(parts=[UserPromptPart(ASK_FOR_WORDS)])])
        except Exception as error:
            if isinstance(error, BudgetUsedUp | NoAnswer) or error is self.requests.error:
                return step  # what was done is said without the model
            raise
        if self._framework.calls_tool(again.response) and not self._answers(again.response):
            self._owes_words = not self.stream or self._is_silent(again)
            return step
        self._owes_words = self._is_silent(again)
        return again

    def _answers(self, response: Any) -> bool:
        """Return True for a response that calls tools, and only those by which the model answers."""
        called = {*self._framework.called(response)}
        return bool(called) and called <= self.outputs

    def _is_without_words(self, step: ModelStep[Any]) -> bool:
        """Return True if the model has ended without words, although its tools have acted."""
        if is_in_step() or not self._has_acted or self._framework.calls_tool(step.response):
            return False
        return self._is_silent(step)

    def _is_silent(self, step: ModelStep[Any]) -> bool:
        return not visible(f"{step.said}{self._framework.text(step.response)}").strip()

    async def _asked(
        self,
        messages: Sequence[Any],
        request: Callable[[list[Any], Write], Awaitable[Any]],
        *,
        model: str | None,
        instructions: str,
        is_text: bool,
        then: Sequence[ModelMessage] = (),
    ) -> ModelStep[Any]:
        """Return the response to messages, and to others behind them, which stand in no later request."""
        framework, requests, is_inside = self._framework, self.requests, is_in_step()
        if not is_inside:
            self._instructions = instructions
        begun, new = messages[: len(self._said)], messages[len(self._said) :]
        what = [*map(framework.shown, new)]
        # A framework may have replaced the conversation. Then it stays as it is.
        if [framework.content(each) for each in begun] == [each["content"] for each in self._said]:
            requests.given = fitting(self._begun, self._settings.run_id, history_tokens(model))
            if not is_inside and not then:  # what comes during the last request gets a turn of its own
                await self._take_incoming(len(new))
            new, what = self._with_incoming(new), [*what, *self._incoming]
        else:
            requests.given, new = (), messages
        digest = digest_of(to_json(what, fallback=str))

        def said(response: Any) -> str:
            return framework.text(response) if self.stream or not framework.calls_tool(response) else ""

        # The answer to a tool is for the model that called it, and not for the person.
        is_heard = is_text and not is_inside

        async def made(said: str, write: Write) -> Any:
            past = self.formed(await requests.refusals.less_of(requests.given))
            # Without a stream, the text is said when the response is complete.
            is_written = self.stream and is_heard
            given = [*past, *new, *self.formed([*then, *go_on(said)])]
            return await request(given, write if is_written else lambda _: True)

        step = await requests.response(
            f"model@{digest}{'-again' if then else ''}",
            made,
            text=said if is_heard else None,
            change=self._change(),
            price=partial(price_of_usage, self._settings, model),
        )
        found = step.response
        is_cut = framework.is_cut(found) and not (self._has_acted and framework.is_empty(found))
        # The arguments of a call that was cut off may be others than the model was about to write.
        if is_cut and (self._is_silent(step) or framework.calls_tool(found)):
            raise NoAnswer
        if not is_inside:
            self._has_ended, self._is_answered = is_text and not framework.calls_tool(found), False
            self._text = "\n\n".join(filter(None, [step.said, framework.text(found)]))
        return step

    async def _take_incoming(self, place: int) -> None:
        """Take the messages that have come since the last request, in handlers with `overlap="steer"`.

        What a request has got is on record, so each run of the turn makes the same requests. What comes during the last
        request is not taken, and gets a turn of its own.

        Args:
            place: The number of messages of the run before them.
        """
        if not self._settings.ctx.takes_incoming:
            return

        async def take() -> list[str]:
            return [prompt_of(message) async for message in self._settings.ctx.incoming()]

        step = await self._settings.entries.step(_INCOMING, take)
        self._incoming += ((place, text) for text in step.result)
        self._run += (ModelRequest(parts=[UserPromptPart(text)]) for text in step.result)

    def _with_incoming(self, messages: Sequence[Any]) -> list[Any]:
        """Return the messages of the run with those that have come meanwhile, each behind what was there before it."""
        with_them = list[Any]()
        for place in range(len(messages) + 1):
            texts = (text for after, text in self._incoming if min(after, len(messages)) == place)
            with_them += self.formed(ModelRequest(parts=[UserPromptPart(text)]) for text in texts)
            with_them += messages[place : place + 1]
        return with_them

    def _change(self) -> Change | None:
        if not self._settings.turn.options.known_links:
            return None
        shown = shown_to_model([*self._begun, *self._run[1:]], self._settings.run_id)
        return partial(without_invented, shown=Shown.of([self._instructions]) | shown)

    def _shown_by_others(self) -> Shown:
        return Shown.of([self._instructions]) | shown_by_others([*self._begun, *self._run[1:]])

    def offer(self, tools: Iterable[str]) -> None:
        """Check the names in `needs_approval` by those of the tools that the model may call."""
        warn_of_unknown_names(self._settings, tools)

    async def call(
        self,
        tool: str,
        call_id: str,
        written: object,
        make: Callable[[], Awaitable[Any]],
        *,
        asks: bool = False,
    ) -> Any:
        """Return the result of a call of a tool, as JSON data: from the record, or made now. It acts in this chat only.

        Args:
            written: The arguments as the model wrote them, as JSON text or as data.
            asks: True if the framework says that the call needs approval. An approved call may act in other chats.
        Returns:
            A text in place of the result, if the call was refused or not approved, or its arguments are no object.
        """
        if (arguments := arguments_in(written)) is None:
            return self._noted(ToolCallPart(tool, {"arguments": clean(written)}, call_id), NO_OBJECT)
        settings, place = self._settings, f"tool:{tool}@{call_id}"
        call = ToolCallPart(tool, arguments, call_id)
        if (is_approved := self._asking.pop(place, None)) is None:
            is_approved = asks or any(each.name == tool and each.asks for each in self.tools)
            is_approved = is_approved or needs_approval(settings, tool, arguments)
            if self._was_decided(tool, arguments):
                is_approved = True
            elif is_approved and (reason := await self.decide(tool, call_id, arguments)) is not None:
                return reason
        guarded = ToolCall(tool, settings.event.chat_id, is_approved or tool in settings.turn.options.elsewhere)

        async def made() -> Any:
            try:
                with running(guarded):
                    return await make()
            except Refused:
                return REFUSED
            finally:
                settings.entries.has_spoken |= guarded.has_spoken

        tally = tally_of_call(settings, place, call, partial(self._result, call), self._has_failed)
        step = await settings.entries.step(place, made, tallies=[tally])
        if self._framework.is_question(step.result):
            self._asking[place] = is_approved
            return step.result
        settings.turn.shared.counts.tool_calls += step.is_made
        self._has_ended |= step.result == REFUSED
        self._has_acted |= not (is_in_step() or step.result == REFUSED or self._has_failed(step.result))
        return self._noted(call, step.result)

    async def decide(self, tool: str, call_id: str, arguments: dict[str, Any]) -> str | None:
        """Let a person decide about a call. Return None if it is approved, else what the model reads in place of its result.

        Args:
            arguments: The arguments, as `arguments_in` returns them. So are those of `note_approval`.
        """
        reason = await self.questions.approval(tool, call_id, arguments)
        if reason is not None:
            self._has_ended = True  # the reason is for the model
            self._noted(ToolCallPart(tool, arguments, call_id), reason)
        return reason

    def note_answer(self) -> None:
        """Note that a person has answered a question of the author's code, which may now have something to say."""
        self.has_asked = self._is_answered = True

    def note_approval(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """Note that a person has approved a call before it is made, so that it is not asked about again."""
        self._decided[_digest_of_call(tool, arguments)] += 1

    def _was_decided(self, tool: str, arguments: Mapping[str, Any]) -> bool:
        if not self._decided:
            return False
        self._decided[digest := _digest_of_call(tool, arguments)] -= 1
        return self._decided[digest] >= 0

    def _noted(self, call: ToolCallPart, result: Any) -> Any:
        if not is_in_step():  # what one tool makes another one do is a part of its own result
            self._run += ModelResponse(parts=[call]), ModelRequest(parts=[self._returned(call, result)])
        return result

    def _result(self, call: ToolCallPart, result: Any) -> ToolReturnPart | None:
        return None if self._framework.is_question(result) else self._returned(call, result)

    def _returned(self, call: ToolCallPart, result: Any) -> ToolReturnPart:
        text = result if isinstance(result, str) else self._framework.result(result)
        return ToolReturnPart(call.tool_name, text, call.tool_call_id)

    def _has_failed(self, result: Any) -> bool:
        return result == REFUSED if isinstance(result, str) else self._framework.has_failed(result)


def _digest_of_call(tool: str, arguments: Mapping[str, Any]) -> str:
    return digest_of(to_json([tool, arguments]))


def _items(messages: Iterable[ModelMessage]) -> Iterator[tuple[str, Any]]:
    """Yield the texts and files of messages, each with the role that says it.

    An earlier call of a tool and its result are one text. Not all providers take calls of tools that a request does not offer.
    """
    calls = dict[str, ToolCallPart]()  # by id, the last one: a provider may use an id again
    for message in messages:
        role = "user" if isinstance(message, ModelRequest) else "assistant"
        for part in message.parts:
            if isinstance(part, UserPromptPart | TextPart):
                content = [part.content] if isinstance(part.content, str) else part.content
                for item in content:
                    yield role, item
            elif isinstance(part, ToolCallPart):
                calls[part.tool_call_id] = part
            elif isinstance(part, ToolReturnPart | RetryPromptPart) and part.tool_call_id in calls:
                result = part.model_response_str() if isinstance(part, ToolReturnPart) else part.model_response()
                yield role, told(calls[part.tool_call_id], result)


_running: ContextVar[Loop | None] = ContextVar("linqbot_agent_loop", default=None)


def current_loop(what: str) -> Loop:
    """Return the run inside of which a framework calls.

    Raises:
        BotError: there is none.
    """
    if (loop := _running.get()) is None:
        raise BotError(f"{what} was used outside of a run of linqbot_agent, so it cannot be recorded.")
    return loop


@asynccontextmanager
async def loop_of(settings: Settings, framework: Framework) -> AsyncIterator[Loop]:
    """Give a block the steps of its run; see `agent_run`."""
    loop = Loop(settings, framework)
    token = _running.set(loop)
    try:
        async with settings.progress.watching(settings.ctx, key=f"{settings.name}/progress"):
            loop.tools = await server_tools(settings)
            yield loop
        settings.turn.shared.counts.runs += 1
    finally:
        _running.reset(token)
