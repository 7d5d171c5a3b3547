"""The state of a person that the runs of an agent store, and the part of it that is read before a run.

An answer is stored with its turn: with `memory="person"` all that the person and the agent said, as `TALK`; with
`memory="chat"` only the calls of tools and their results, as `TOOL_WORK`, because Linq has the texts. A call is also stored in
the commit that records its result, as `ACTED`: it was made, whatever becomes of its turn. `kept_of` adds those that an answer
lacks. In the same way a summary and a transcript are stored with the step that has made them.

With `memory="person"`, the request with a person's message has in its `metadata`, which no model is shown, the chat and what is
needed to write the message again after an edit: see `said_of` and `take_edit`. Linq tells nothing of a message that was unsent.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from pydantic import BaseModel, Field, ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from linqbot import Context, MessageEdited, MessageReceived, Tally
from linqbot.characters import to_json
from linqbot_agent.entries import step_around, with_cut_texts
from linqbot_agent.files import keep_unreadable
from linqbot_agent.messages import prompt_for, prompt_of, told
from linqbot_agent.run import Answer, Settings

if TYPE_CHECKING:
    from linqbot_agent.history import Past
    from linqbot_agent.requests import Requests

TALK: Final = "linqbot_agent.Talk"
"""The name of the state with the exchanges of a person with the agent."""
TOOL_WORK: Final = "linqbot_agent.ToolWork"
"""The name of the state with the calls of tools for a person, and their results."""
ACTED: Final = "linqbot_agent.Acted"
"""The name of the state with the calls of tools whose results are on record, whatever has become of their turns."""
SUMMARIES: Final = "linqbot_agent.Summaries"

TALK_BYTES: Final = 128 << 10
"""The most that is stored of the exchanges of a person, as JSON. The oldest is dropped first."""
WORK_BYTES: Final = 64 << 10
"""The same of calls of tools."""
_CUT_BYTES: Final = 16 << 10
"""What one run may leave of either, once it has to be cut."""


class Kept(BaseModel):
    """The messages of pydantic-ai, as JSON, that are kept about a person.

    Attributes:
        by_message: The messages of a run by the id of the person's message, the oldest first.
        dropped: The time of the newest exchange that was dropped; see `said_at`.
    """

    by_message: dict[str, list[Any]] = Field(default_factory=dict)
    dropped: str = ""

    def put(self, key: str, messages: list[Any], most_bytes: int, most: float = math.inf) -> None:
        """Keep messages as the newest ones, and drop the oldest ones that are too much."""
        self.by_message.pop(key, None)
        self.by_message[key] = messages
        while self.by_message and (len(self.by_message) > most or len(to_json(self.by_message)) > most_bytes):
            self.dropped = max(self.dropped, said_at(self.by_message.pop(next(iter(self.by_message)))))


class Summary(BaseModel):
    text: str
    upto: str  # the id of the last message in it


class Summaries(BaseModel):
    """The summaries about a person.

    Attributes:
        by_chat: By the id of the chat; "" for what was said in all chats, with `memory="person"`.
    """

    by_chat: dict[str, Summary] = Field(default_factory=dict)


def shows_all_chats(settings: Settings) -> bool:
    """Return True if a run is shown what the person said in other chats: others read what it answers in a group."""
    options = settings.turn.options
    return options.memory == "person" and (settings.event.is_group is False or options.private_in_groups)


def summary_key(settings: Settings) -> str:
    """Return the key of the summary of a run: the id of the chat, or "" for what was said in all chats."""
    return "" if shows_all_chats(settings) else settings.event.chat_id or ""


def said_at(messages: Sequence[Any]) -> str:
    """Return the time of an exchange, which its prompt has; empty if there is no prompt."""
    first = (
        messages[0]["parts"] if messages and _are_messages(messages) else []
    )  # of calls that were too large, nothing is kept
    return next((str(part["timestamp"]) for part in first if "timestamp" in part), "")


def _are_messages(stored: Sequence[Any]) -> bool:
    """Return True if stored data has the form of messages. Another release may have stored another one."""
    try:
        return {type(part) for message in stored for part in message["parts"] or [None]} <= {dict}
    except (KeyError, TypeError):
        return False


def said_of(event: MessageReceived | MessageEdited, heard: str = "") -> dict[str, Any]:
    """Return the metadata of the request with a message: its chat, and what is needed to write the message again.

    Args:
        heard: What its voice memos say, as marks.
    """
    if isinstance(event, MessageEdited):
        return {"chat": event.chat_id, "edit_of": event.id}
    parts = {"__all__": {"url", "reactions", "image_url", "description"}}
    fields = {
        "event_id": True,
        "id": True,
        "chat_id": True,
        "chat": {"id"},
        "is_group": True,
        "edited": True,
        "line": True,
    }
    include: Any = {**fields, "sender": {"handle"}, "parts": True}
    messages = [
        each.model_dump(mode="json", exclude_none=True, include=include, exclude={"parts": parts})
        for each in event.burst or (event,)
    ]
    return {"chat": event.chat_id, "messages": messages, "heard": heard}


def chat_of(messages: Iterable[Any]) -> str | None:
    """Return the id of the chat of an exchange; None if it is not known."""
    facts = (each.get("metadata") or {} for each in messages)
    return next((each["chat"] for each in facts if "chat" in each), None)


async def take_edit(edit: MessageEdited, ctx: Context) -> None:
    """Write what is remembered of a message with its new text. A summary that was made before stays."""
    if edit.zero_retention:
        return
    for name in (TALK, ACTED):
        for messages in (await ctx.state.person(Kept, name=name)).by_message.values():
            for message in messages:
                if (text := _text_after(edit, message.get("metadata") or {})) is not None:
                    prompt = next(part for part in message["parts"] if part["part_kind"] == "user-prompt")
                    prompt["content"] = text


def _text_after(edit: MessageEdited, said: dict[str, Any]) -> str | None:
    """Return the prompt of a message after an edit, and note the edit; None if the edit is that of another message."""
    if said.get("edit_of") == edit.id:
        return prompt_for(edit, ())
    if edit.id not in (each["id"] for each in said.get("messages", ())):
        return None
    messages = [MessageReceived.model_validate({**each, "type": MessageReceived.types[0]}) for each in said["messages"]]
    messages = [each.with_edit(edit) if each.id == edit.id else each for each in messages]
    message = MessageReceived.joined(messages)
    said["messages"] = said_of(message)["messages"]
    return f"{prompt_of(message)}{said['heard']}"


async def kept_of(settings: Settings, name: str, only: Container[str] | None = None) -> dict[str, list[Any]]:
    """Return a state by message, with the calls of tools that it lacks: their turns were given up, or run again.

    Args:
        only: The ids of the messages of interest; None for all.
    """

    def messages_of(every: Kept) -> dict[str, list[Any]]:
        given = every.by_message.items()
        return {key: said for key, said in given if (only is None or key in only) and _are_messages(said)}

    stored = await settings.ctx.state.person(Kept, name=name)
    kept = messages_of(stored)
    for key, acted in messages_of(await settings.ctx.state.person(Kept, name=ACTED)).items():
        if key not in kept and said_at(acted) < stored.dropped:
            continue  # it was dropped with its answer
        ids = {part.get("tool_call_id") for message in kept.get(key, ()) for part in message["parts"]}
        missing = (each for each in acted if each["parts"][0].get("tool_call_id") not in ids)
        # This run has its own calls from the record.
        if new := [each for each in missing if each.get("run_id") != settings.run_id]:
            said = kept.get(key, [])
            is_answered = bool(said) and said[-1].get("kind") == "response"
            # What an earlier run of the turn did comes before the answer of its last run, behind the prompt.
            place = 1 if is_answered and str(new[0].get("timestamp") or "") < said_at(said) else len(said)
            kept[key] = [*said[:place], *new, *said[place:]]
    return kept


def readable(stored: Mapping[str, list[Any]], ctx: Context) -> dict[str, list[ModelMessage]]:
    """Return stored messages by the same keys, without those that this release of pydantic-ai cannot read.

    Another release may have stored them, and one of them must not keep the agent from answering the person.
    """
    found = {}
    for key, messages in stored.items():
        with suppress(ValidationError):
            found[key] = ModelMessagesTypeAdapter.validate_python(messages)
    if len(found) < len(stored):
        ctx.log.warning(
            "agent.memory_unreadable",
            left_out=len(stored) - len(found),
            why="Another release of pydantic-ai has stored it. It was kept as it is, and is not shown to the model.",
        )
    return found


def tally_of_call(
    settings: Settings,
    step: str,
    call: ToolCallPart,
    returned: Callable[[Any], ToolReturnPart | None],
    has_failed: Callable[[Any], bool] = lambda result: False,
) -> Tally[Kept] | None:
    """Return the tally that stores a call of a tool in the commit that records its result; None if nothing is to be kept.

    If the turn is given up, nothing else of it is stored, and the model still knows of the call. A call that another tool
    makes is part of that tool's result: it is stored until there is one, and stays if that is a failure.

    Args:
        step: The name of the call's step.
        returned: Gets the recorded result, and returns it as the model reads it; None if the tool has not returned.
        has_failed: Returns True if the recorded result does not tell what was done inside of the call.
    """
    event, memory = settings.event, settings.turn.options.memory
    if memory is None or not isinstance(event, MessageReceived | MessageEdited) or event.zero_retention:
        return None
    key = _key_of(event) if memory == "person" else event.id
    place, around = settings.entries.place_of(step), step_around()

    def add(kept: Kept, result: Any) -> None:
        if (part := returned(result)) is None:
            return
        every = kept.by_message.get(key, [])
        is_part = not has_failed(result)
        before = [each for each in every if not (is_part and _around(each).startswith(f"{place}#"))]
        stamp: Any = {"run_id": settings.run_id, "metadata": {"inside": around}}
        new: list[ModelMessage] = [
            ModelResponse(parts=[_cuttable(call)], **stamp),
            ModelRequest(parts=[_cuttable(part)], **stamp),
        ]
        if memory == "person" and not before:
            # It has no `inside`, so it stays when the step around this call has a result.
            prompt = UserPromptPart(prompt_for(event, ()))
            new.insert(0, ModelRequest(parts=[prompt], run_id=settings.run_id, metadata=said_of(event)))
        acted = with_cut_texts([*before, *ModelMessagesTypeAdapter.dump_python(new, mode="json")], WORK_BYTES)
        # Very many calls would displace all that is kept of earlier messages.
        kept.put(key, acted if len(to_json(acted)) <= WORK_BYTES else every, WORK_BYTES)

    return Tally(Kept, add, name=ACTED)


def _around(acted: Any) -> str:
    """Return the name of the step inside of which a stored call was made; empty outside of steps."""
    return (acted["metadata"] or {}).get("inside") or ""


def answer_of(requests: Requests, past: Past, messages: Sequence[ModelMessage], text: str, **facts: Any) -> Answer:
    """Return an answer with what is remembered of its run: its messages, of which the first one is the prompt, and its text."""
    settings = requests.settings
    is_of_chat = settings.turn.options.memory == "chat"
    return Answer(
        work=_as_json(_tool_messages(messages), WORK_BYTES) if is_of_chat else [],
        talk=_exchange(settings, past.words, messages, text),
        unreadable=requests.refusals.unreadable,
        **facts,
    )


async def keep_work(requests: Requests, past: Past, messages: Sequence[ModelMessage]) -> None:
    """Remember what tools did in a run that has ended without an answer: the person may write the same again.

    If the turn fails, and runs again, nothing of it is stored.
    """
    if _tool_messages(messages):
        await keep_answer(answer_of(requests, past, messages, ""), requests.settings)


async def keep_answer(answer: Answer, settings: Settings) -> None:
    """Note what is remembered of an answer. It is stored with the turn, unless the line keeps nothing (zero retention)."""
    ctx, event, options = settings.ctx, settings.event, settings.turn.options
    if not isinstance(event, MessageReceived | MessageEdited):
        await keep_unreadable(ctx, answer.unreadable)
        return
    if event.zero_retention:
        return
    await keep_unreadable(ctx, answer.unreadable)
    if answer.work:
        kept = await ctx.state.person(Kept, name=TOOL_WORK)
        kept.put(event.id, [*kept.by_message.get(event.id, ()), *answer.work], WORK_BYTES)
    if answer.talk:
        most = options.history * (2 if options.summary_model else 1)
        (await ctx.state.person(Kept, name=TALK)).put(_key_of(event), answer.talk, TALK_BYTES, most)


def _key_of(event: MessageReceived | MessageEdited) -> str:
    """Return the key of an exchange. An edit is one of its own, behind the answer to the message."""
    return event.event_id if isinstance(event, MessageEdited) else event.id


def _exchange(settings: Settings, heard: str, messages: Sequence[ModelMessage], answer: str) -> list[Any]:
    """Return what is kept of a run with `memory="person"`, as JSON: the prompt, the work of tools, and the answer."""
    event = settings.event
    if settings.turn.options.memory != "person" or not isinstance(event, MessageReceived | MessageEdited):
        return []
    prompt = UserPromptPart(prompt_for(event, (), heard))
    said: list[ModelMessage] = [ModelRequest(parts=[prompt], metadata=said_of(event, heard))]
    answered: list[ModelMessage] = [ModelResponse(parts=[TextPart(answer)])] if answer.strip() else []
    between: list[ModelMessage] = []
    for message in messages[1:]:
        # A prompt behind the first one is a message that came while the agent worked.
        later = [part for part in message.parts if isinstance(part, UserPromptPart)]
        between += [*_tool_messages([message]), *([ModelRequest(parts=later)] if later else [])]
    whole = _as_json([*said, *between, *answered], TALK_BYTES)
    # Very many calls of tools would displace all that is kept of earlier messages.
    return whole or _as_json([*said, *answered], TALK_BYTES)


def _tool_messages(messages: Iterable[ModelMessage]) -> list[ModelMessage]:
    """Return the calls of tools and their results in messages, without prompts and narration."""
    kept: list[ModelMessage] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            results = [part for part in message.parts if isinstance(part, ToolReturnPart | RetryPromptPart)]
            kept += [ModelRequest(parts=results)] if results else []
        else:
            calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
            kept += [ModelResponse(parts=calls)] if calls else []
    return kept


def _without_misfits(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return messages with the calls whose arguments did not fit their tools as texts: not each framework sends any arguments."""
    calls = dict[str, ToolCallPart]()  # by id, the last one: a provider may use an id again
    texts = dict[int, str | None]()  # by the ids of the parts that are replaced; None leaves one out
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, ToolCallPart):
            calls[part.tool_call_id] = part
        elif _is_misfit(part) and (call := calls.get(part.tool_call_id)) is not None:
            texts |= {id(call): None, id(part): told(call, part.model_response_str())}
    kept: list[Any] = []
    for message in messages:
        said = ((part, texts.get(id(part), "")) for part in message.parts)
        parts: Any = [UserPromptPart(text) if text else part for part, text in said if text is not None]
        kept += [replace(message, parts=parts)] if parts else []
    return kept


def _is_misfit(part: object) -> TypeGuard[ToolReturnPart]:
    return isinstance(part, ToolReturnPart) and part.retry is not None and part.retry.cause == "validation_error"


def _as_json(messages: Sequence[ModelMessage], most_bytes: int) -> list[Any]:
    """Return messages as JSON. If they are larger, the results of tools are made texts, and texts are cut.

    Nothing is returned of messages that are too many even so.
    """
    messages = _without_misfits(messages)
    dumped: list[Any] = ModelMessagesTypeAdapter.dump_python([*messages], mode="json")
    if len(to_json(dumped)) <= most_bytes:
        return dumped
    either: Sequence[Any] = messages  # a request or a response
    plain = [replace(message, parts=[*map(_cuttable, message.parts)]) for message in either]
    cut: list[Any] = with_cut_texts(ModelMessagesTypeAdapter.dump_python(plain, mode="json"), _CUT_BYTES)
    return cut if len(to_json(cut)) <= most_bytes else []


def _cuttable(part: Any) -> Any:
    """Return a part whose texts may be cut: a part of a picture, of a signature, or of arguments as JSON text is of no use."""
    if isinstance(part, ToolReturnPart):
        files = (f"[{file.media_type}]" for file in part.files)
        return replace(part, content="\n".join(filter(None, [part.model_response_str(), *files])), metadata=None)
    if isinstance(part, ToolCallPart):
        return ToolCallPart(part.tool_name, part.args_as_dict(), part.tool_call_id)
    return part
