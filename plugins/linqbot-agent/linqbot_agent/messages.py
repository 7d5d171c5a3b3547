"""Messages for a model, of any framework: the text of what a person wrote, the addresses that were shown, and less of a history.

`history.py` says what a model is given. Two things leave some of it out, and only of the past, the oldest first: a limit of
tokens, and the refusal of a provider, after which a request is made again with less. Messages are those of pydantic-ai. This
module imports it, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Final, TypeAlias

from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_core import from_json

from linqbot import BotError, Context, Event, MessageEdited, MessageReceived
from linqbot.characters import to_json
from linqbot.frames import place_of
from linqbot.speakers import EDITED, in_mark, name_of, said_by
from linqbot_agent.files import NOT_SHOWN, digest, text_of_file
from linqbot_agent.links import Shown, strings_in


def prompt_of(message: MessageReceived) -> str:
    """Return the text of a message for a model, with the names of its files, in groups with its speaker."""
    marks = [*map(name_of, message.media), *([EDITED] if message.edited else [])]
    return said_by(message.sender.handle, message.text_to_me, marks, always=bool(message.is_group))


def prompt_for(event: Event, already_sent: Sequence[str], heard: str = "") -> str:
    """Return the text of the event's message, in groups with its speaker; of an edit, the new text.

    `heard` is what its voice memos say, as marks; `already_sent` is what the person has got of an answer that a newer
    message has interrupted.
    """
    if isinstance(event, MessageEdited):
        by = event.sender.handle if event.is_group else "The person"
        return f"[{in_mark(by)} has edited a message. It says now: {in_mark(event.text)}]"
    if not isinstance(event, MessageReceived):
        raise BotError(f"{event.type} has no text for an agent. Give one: run(agent, ctx, prompt).")
    if not already_sent:
        return f"{prompt_of(event)}{heard}"
    read = "\n".join(said_by("You", text, always=False) for text in already_sent)
    return (
        f"{prompt_of(event)}{heard}\n\n[The last message interrupted your answer. The person has already read:\n{read}]"
    )


def told(call: ToolCallPart, result: str) -> str:
    """Return an earlier call of a tool and its result as a text."""
    given = in_mark(call.args_as_json_str())
    return f"[You have called the tool {call.tool_name} with {given}. Its result was: {in_mark(result)}]"


def shown_to_model(messages: Sequence[ModelMessage], run_id: str | None) -> Shown:
    """Return the addresses and phone numbers that others have shown to a model, and those that it said in earlier runs."""
    # Not what it says in this run: that would make known what it has invented.
    said = (each.text or "" for each in messages if isinstance(each, ModelResponse) and each.run_id != run_id)
    return shown_by_others(messages) | Shown.of(said)


def shown_by_others(messages: Iterable[ModelMessage]) -> Shown:
    """Return the addresses and phone numbers that instructions, people and tools have shown to a model.

    A tool may repeat what the model has made up, so the result of a call, and what the tool adds to it, show nothing that the
    model wrote in this call.
    """
    nothing = Shown.of(())
    said = defaultdict[Shown, list[str]](list)  # by what the model may have made up in the calls that the texts answer
    written = dict[str, list[str]]()  # by the id of the call, which a provider may use again
    for message in messages:
        if isinstance(message, ModelRequest):
            said[nothing].append(message.instructions or "")
        answered = [part.tool_call_id for part in message.parts if isinstance(part, ToolReturnPart)]
        in_calls = [text for each in answered for text in written.get(each, ())]
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                written.setdefault(part.tool_call_id, []).extend(strings_in(part.args_as_dict()))
            # The report of an error repeats what the model has made up.
            elif isinstance(part, ToolReturnPart) and part.outcome == "success" and part.tool_call_id in written:
                said[Shown.of(written[part.tool_call_id])] += _texts_of(part)
            elif isinstance(part, SystemPromptPart):
                said[nothing].append(part.content)
            elif isinstance(part, UserPromptPart):
                content = [part.content] if isinstance(part.content, str) else part.content
                texts = (each if isinstance(each, str) else getattr(each, "url", "") for each in content)
                said[Shown.of(in_calls)] += texts
    shown = Shown.of(said.pop(nothing, ()))
    return reduce(or_, (Shown.of(texts) - made_up for made_up, texts in said.items()), shown)


def _texts_of(result: ToolReturnPart) -> Iterator[str]:
    """Return the texts of a result. JSON is decoded: the address in `https://shop.example\\nBye` ends at the line break."""
    said = result.model_response_str()
    try:
        return strings_in(from_json(said))
    except ValueError:
        return iter([said])


Group: TypeAlias = Sequence[ModelMessage]
"""What belongs together: a message, the work of tools for it, and the tapbacks on it."""

BYTES_PER_TOKEN: Final = 4
"""An estimate: tokens of English have about four letters. Other languages have more tokens."""
PICTURE_TOKENS: Final = 1600
"""An estimate of what providers count for a picture."""


LEFT_OUT: Final = {1: "files", 2: "half of the history", 3: "three quarters of the history", 4: "the history"}
"""The levels of `Refusals` above 0: what each leaves out besides, in words for the log."""

_UNENCODED: Final = frozenset({"PydanticSerializationError", "UnicodeEncodeError", "ValueError"})
"""The names of errors with which a framework or a client fails to write a request: some of its history has no JSON form."""
_WITHOUT_FILES: Final = _UNENCODED | {"NotImplementedError", "RuntimeError", "UserError"}
"""The same, and those by which frameworks say that a model does not take a kind of file."""


def trimmed(groups: Sequence[Group], most_tokens: int | None) -> list[Group]:
    """Return the newest groups of messages that have at most so many tokens, by estimate. None keeps all."""
    if most_tokens is None:
        return list(groups)
    kept: list[Group] = []
    left = most_tokens
    for group in reversed(groups):
        left -= tokens_of(group)
        if left < 0:
            break
        kept.append(group)
    return kept[::-1]


def parted(messages: Iterable[ModelMessage], run_id: str | None) -> tuple[list[ModelMessage], list[ModelMessage]]:
    """Return the past, and the messages of a run, which bear its id: the prompt and what the run has added."""
    past, live = list[ModelMessage](), list[ModelMessage]()
    for message in messages:
        (live if message.run_id == run_id else past).append(message)
    return past, live


def fitting(messages: Iterable[ModelMessage], run_id: str | None, most_tokens: int | None) -> list[ModelMessage]:
    """Return the messages of a run, and the newest of its past that have at most so many tokens. None keeps all."""
    past, live = parted(messages, run_id)
    return _with_newest(len(trimmed([[message] for message in past], most_tokens)), past, live)


def _with_newest(count: int, past: Sequence[ModelMessage], live: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return the messages of a run, and at most so many of its past. The system prompt stays."""
    start = len(past) - count
    # A history begins with a message of a person: the result of a tool without its call would be refused.
    while 0 < start < len(past) and not _is_said(past[start]):
        start += 1
    kept = [*past[start:], *live]
    system = [part for message in past[:start] for part in message.parts if isinstance(part, SystemPromptPart)]
    if system and isinstance(kept[0], ModelRequest):
        kept[0] = replace(kept[0], parts=[*system, *kept[0].parts])
    return kept


class Refusals:
    """Lets a request that the provider refuses be made again with less. What a run leaves out is recorded.

    Attributes:
        unreadable: The digests of the files without which the provider no longer refused a request.
        level: What is left out; see `LEFT_OUT`. It rises for the rest of the run.
    """

    def __init__(self, ctx: Context, run_id: str) -> None:
        self.unreadable: list[str] = []
        self.level = 0
        self._ctx = ctx
        self._run_id = run_id
        self._place = ""
        self._texts: dict[str, str] = {}  # those of the files that are left out, by their digests

    def begin(self, place: str) -> None:
        """Begin a request, with what is on record of it under the name of its step."""
        self._place = place
        while (level := self._ctx.recall(self._refused, kind=int)) is not None:
            self.level = level

    @property
    def _refused(self) -> str:
        return f"{self._place}-{self.level}/refused"

    async def less_of(self, messages: Sequence[ModelMessage]) -> list[ModelMessage]:
        """Leave out of the messages of a request that for which the provider has refused earlier ones."""
        if self.level:
            await self._read(messages)
        return self._less_of(messages, self.level)

    def _less_of(self, messages: Sequence[ModelMessage], level: int) -> list[ModelMessage]:
        if level:
            messages = [_without_files(message, self._texts) for message in messages]
        if level <= 1:
            return list(messages)
        past, live = parted(messages, self._run_id)
        return _with_newest(len(past) >> (level - 1) if level < max(LEFT_OUT) else 0, past, live)

    async def _read(self, messages: Iterable[ModelMessage]) -> None:
        for file in files_in(messages):
            if (key := digest(file)) not in self._texts:
                self._texts[key] = await text_of_file(self._ctx, file)

    async def ask_again(self, messages: Sequence[ModelMessage], error: Exception, *, is_refusal: bool) -> bool:
        """Return True if a request that has failed may be made again, with less. This is recorded first.

        Args:
            is_refusal: True if the provider has refused it. Otherwise the framework may not have been able to form it.
        """
        kind = type(error).__name__
        if not is_refusal and kind not in _WITHOUT_FILES:
            return False
        await self._read(messages)
        present = self._less_of(messages, self.level)
        higher = (each for each in LEFT_OUT if each > self.level)
        level = next((each for each in higher if self._less_of(messages, each) != present), None)
        if level is None or (level > 1 and not is_refusal and kind not in _UNENCODED):
            return False
        self._ctx.log.warning("agent.asked_again", error=kind, at=place_of(error), left_out=LEFT_OUT[level])
        self.level = await self._ctx.once(self._refused, lambda _: level, kind=int, retry=True, restartable=True)
        return True

    def accepted(self, messages: Iterable[ModelMessage]) -> None:
        """Note what the provider could not read, once it has answered a request. A later request may have fewer files."""
        if self.level == 1:
            self.unreadable = [*dict.fromkeys([*self.unreadable, *map(digest, files_in(messages))])]


def files_in(messages: Iterable[ModelMessage]) -> Iterator[BinaryContent]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart) and not isinstance(part.content, str):
                yield from (item for item in part.content if isinstance(item, BinaryContent))


def _without_files(message: ModelMessage, texts: Mapping[str, str]) -> ModelMessage:
    if not isinstance(message, ModelRequest):
        return message

    def instead(item: UserContent) -> UserContent:
        if isinstance(item, ImageUrl):
            return NOT_SHOWN
        return texts[digest(item)] if isinstance(item, BinaryContent) else item

    parts = [
        replace(part, content=[instead(each) for each in part.content])
        if isinstance(part, UserPromptPart) and not isinstance(part.content, str)
        else part
        for part in message.parts
    ]
    return replace(message, parts=parts)


def _is_said(message: ModelMessage) -> bool:
    return isinstance(message, ModelRequest) and all(isinstance(part, UserPromptPart) for part in message.parts)


def tokens_of(messages: Group) -> int:
    tokens = 0
    for message in messages:
        for part in message.parts:
            content = getattr(part, "content", None)
            for item in content if isinstance(content, list | tuple) else [content, getattr(part, "args", None)]:
                if isinstance(item, BinaryContent):
                    tokens += PICTURE_TOKENS
                elif item is not None:
                    text = item.encode() if isinstance(item, str) else to_json(item, fallback=str)
                    tokens += -(-len(text) // BYTES_PER_TOKEN)
    return tokens
