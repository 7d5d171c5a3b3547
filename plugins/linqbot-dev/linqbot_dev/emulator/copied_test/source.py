"""The source of a pytest that repeats a conversation: it sends what people sent, and expects what the bot did."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final

from linqbot_dev.emulator.copied_test.exchanges import Exchange, is_done, milliseconds, sent_message
from linqbot_dev.emulator.declared_world import FIRST_PERSON
from linqbot_dev.emulator.model.answers import JsonObject

OF_TIME: Final = frozenset({"linqbot.ask", "linqbot.send", "linqbot.schedule"})
"""The events that come by themselves when the clock is moved."""

_PAUSE_MS: Final = 60_000
"""A test lets no shorter time pass than this between two acts of people."""


def creates_request(call: JsonObject) -> bool:
    """Return True if a call made a payment request."""
    is_post = call["method"] == "POST" and call["path"].endswith("/payment_requests")
    return is_post and is_done(call) and bool((call["answer"] or {}).get("id"))


def options_in(data: JsonObject) -> dict[str, str]:
    """Return the texts of the options in an event of a poll, or in the answer to a call, by their ids."""
    shown = data.get("added_options") or (data.get("poll") or {}).get("options", ())
    return {one["option_id"]: one["text"] for one in shown}


def places_in(call: JsonObject) -> dict[str, tuple[float, float]]:
    """Return the latitudes and longitudes with which a call was answered, by the handles of those who share them."""
    if not call["path"].endswith("/location"):
        return {}
    features = ((call["answer"] or {}).get("data") or {}).get("features", ())
    return {one["properties"]["handle"]: tuple(reversed(one["geometry"]["coordinates"])) for one in features}


def sender_of(data: JsonObject) -> str | None:
    # Linq names its own line as the sender of an option that was added.
    added = (data.get("added_options") or [{}])[0].get("creator_handle")
    fields = ("sender_handle", "from_handle", "shared_by", "from", "changed_by_handle")
    named = (added, *(data.get(name) for name in fields))
    handles = (one.get("handle") if isinstance(one, dict) else one for one in named)
    return next((str(handle) for handle in handles if handle is not None), None)


class PytestSource:
    """The test of these exchanges, the steps of the test, which are of one chat.

    Args:
        line: The bot's number.
        people: All others in the chat.
        module: The name of the bot's file, without `.py`.
        in_time: The test lets the time between the steps pass.
    """

    def __init__(
        self, steps: Sequence[Exchange], *, line: str, people: Sequence[str], module: str, in_time: bool
    ) -> None:
        self._steps, self._line, self._people, self._module, self._in_time = steps, line, people, module, in_time
        self._lines: list[str] = []
        self._add = self._lines.append
        self._names: dict[str, str] = {}  # the variables of messages, by the ids
        self._payments: dict[str, str] = {}  # the variables of payment requests, by the ids
        self._options: dict[str, str] = {}  # the texts of the options of polls, by the ids
        self._places: dict[str, tuple[float, float]] = {}  # of those who share theirs, by the handles
        self._share_ends: dict[str, float] = {}  # on the test's clock, in milliseconds, by the handles
        self._fails_again = False
        self._expected: set[str] = set()  # messages of the bot: a call may be repeated after a lost answer
        self._owner = sender_of(steps[0].data) or (people[0] if people else FIRST_PERSON)
        self._all = "group" if len(people) > 1 else "phone"
        self._ms = steps[0].at  # the time on the test's clock, as far as the test moves it

    def text(self) -> str:
        for step in self._steps:
            self._move_people(step)
            self._let_time_pass(step)
            if step.event_type not in OF_TIME:
                self._send(step)
            self._expect(step, is_last=step is self._steps[-1])
        self._add(f"assert await {self._all}.replies() == []")
        handle = "" if self._owner == FIRST_PERSON else f", handle={literal(self._owner)}"
        service = self._steps[0].data.get("service") or "iMessage"
        others = ", ".join(literal(one) for one in self._people if one != self._owner)
        lines = [
            f'"""A conversation copied from the emulator. Save this file next to {self._module}.py, and run: pytest"""',
            "",
            f"from {self._module} import bot",
            "",
            *(["import pytest"] if self._fails_again else []),
            f"from linqbot.testing import {'HandlerFailed, ' if self._fails_again else ''}PhoneFor",
            *("", ""),
            f"async def test_{self._test_name()}(phone_for: PhoneFor) -> None:",
            f"    async with phone_for(bot{handle}{'' if service == 'iMessage' else f', service={literal(service)}'}) as phone:",
            *([f"        group = phone.group({others})"] if self._all == "group" else []),
            *(f"        {line}" for line in self._lines),
        ]
        return "\n".join(lines) + "\n"

    def _test_name(self) -> str:
        last = self._steps[-1]
        text = unicodedata.normalize("NFKD", _text_of(_message_of(last.data)) or last.event_type).lower()
        words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in text).split()
        return "_".join(words or ["conversation"])[:40].removesuffix("_")

    def _let_time_pass(self, step: Exchange) -> None:
        passed = step.at - self._ms if self._in_time else 0
        if passed >= _PAUSE_MS or (step.event_type in OF_TIME and passed > 0):
            self._advance(math.ceil(passed / 1000))

    def _move_people(self, step: Exchange) -> None:
        """Move those who share their location to where the bot finds them in a step: no event says that they moved."""
        for call in step.calls:
            for handle, place in places_in(call).items():
                if self._places.get(handle, place) != place:
                    self._share_place(self._phone_of(handle), handle, place)

    def _advance(self, seconds: int) -> None:
        self._ms += seconds * 1000
        self._add(f"await phone.advance({seconds})")

    # What people do

    def _send(self, step: Exchange) -> None:
        kind, data = step.event_type, step.data
        self._options |= options_in(data)
        phone = self._phone_of(sender_of(data))
        if kind == "message.received":
            self._write(phone, _message_of(data))
        elif kind == "message.edited":
            part = data.get("part") or {}
            self._leave_out(_other_part(part.get("index")))
            self._add(f"await {phone}.edit({self._name_of(data['id'])}, {literal(part.get('text'))})")
        elif kind.startswith("poll.") and kind != "poll.reaction.added":
            self._do_with_poll(phone, step)
        elif kind.startswith("payment."):
            verb = "decline" if kind == "payment.declined" else "pay"
            self._add(f"await phone.{verb}({self._payments.get(data['id'])})")
        elif kind.startswith("location."):
            self._share(phone, step)
        elif kind.startswith("participant."):
            self._change_members(step)
        elif kind == "chat.group_name_updated":
            self._add(f"await {phone}.rename({literal(data['new_value'])})")
        elif kind == "contact_card.received":
            names = [data[name] for name in ("first_name", "last_name") if data.get(name)]
            self._add(f"await {phone}.share_card({', '.join(map(literal, names))})")
        else:
            self._react(phone, step)

    def _react(self, phone: str, step: Exchange) -> None:
        data = step.data
        message = self._name_of(data["message_id"])
        self._leave_out(_other_part(data.get("part_index")))
        if data["reaction_type"] == "sticker":
            name = (data.get("sticker") or {}).get("file_name") or "sticker.png"
            self._add(f'await {phone}.sticker({message}, b"a sticker", {literal(name)})')
            return
        remove = ", remove=True" if step.event_type == "reaction.removed" else ""
        kind = literal(data.get("custom_emoji") or data["reaction_type"])
        self._add(f"await {phone}.react({message}, {kind}{remove})")

    def _do_with_poll(self, phone: str, step: Exchange) -> None:
        data = step.data
        if step.event_type == "poll.received":
            said = self._said(data["message_id"])
            self._add(f"{said}await {phone}.poll({_texts_of(data['poll']['options'])})")
            return
        message = self._name_of(data["message_id"])
        if step.event_type == "poll.updated":
            self._add(f"await {phone}.add_option({message}, {_texts_of(data['added_options'])})")
            return
        remove = ", remove=True" if step.event_type == "poll.vote.removed" else ""
        self._add(f"await {phone}.vote({message}, {literal(self._options.get(data['option_id']))}{remove})")

    def _change_members(self, step: Exchange) -> None:
        """Add or remove a member. The event does not say who did it: a member who left did so, and any other may add one."""
        handle = step.data["handle"]
        member = "phone.line" if handle == self._line else literal(handle)
        other = self._phone_of(next((one for one in self._people if one != handle), None))
        if step.event_type == "participant.added":
            self._add(f"await {other}.bring({member})")
        elif (step.data.get("participant") or {}).get("status") == "left":
            self._add(f"await {self._phone_of(handle)}.leave()")
        else:
            self._add(f"await {other if handle == self._owner else 'group'}.remove({member})")

    def _share(self, phone: str, step: Exchange) -> None:
        data, handle = step.data, step.data["shared_by"]
        if step.event_type == "location.sharing.stopped":
            self._places.pop(handle, None)
            if self._share_ends.pop(handle, math.inf) > self._ms:
                self._add(f"await {phone}.stop_sharing_location()")
            return
        later = self._steps[self._steps.index(step) :]
        found = (places_in(call).get(handle) for one in later for call in one.calls)
        # A test may share any place if the bot never asked for it.
        place, until = next(filter(None, found), (0, 0)), ""
        if data.get("ends_at"):
            lasts_ms = milliseconds(data["ends_at"]) - milliseconds(data["began_at"])
            self._share_ends[handle] = self._ms + lasts_ms
            until = f", for_s={lasts_ms / 1000:.10g}"
        self._share_place(phone, handle, place, until)

    def _share_place(self, phone: str, handle: str, place: tuple[float, float], until: str = "") -> None:
        self._places[handle] = place
        self._add(f"await {phone}.share_location({place[0]}, {place[1]}{until})")

    def _write(self, phone: str, message: JsonObject) -> None:
        said, text, mention = self._said(message["id"]), _text_of(message), _mention_in(message)
        kinds, reply = [part["type"] for part in message["parts"]], message.get("reply_to") or {}
        files = [literal(part.get("filename") or "file") for part in message["parts"] if part["type"] == "media"]
        options = [f"reply_to={self._name_of(reply['message_id'])}"] if reply else []
        if message.get("effect"):
            options.append(f"effect={literal(message['effect']['name'])}")
        left_out = options if files or kinds == ["link"] else []
        styles = ["text_decorations"] if any(part.get("text_decorations") for part in message["parts"]) else []
        self._leave_out([*files[1:], *left_out, *_other_part(reply.get("part_index")), *styles])
        if files:
            also = f", text={literal(text)}" if text else ""
            self._add(f'{said}await {phone}.media(b"a file", {files[0]}{also})')
        elif kinds == ["link"]:
            self._add(f"{said}await {phone}.link({literal(text)})")
        else:
            marked = [] if mention is None else [f"mention={literal(mention)}"]
            self._add(f"{said}await {phone}.text({', '.join([literal(text), *marked, *options])})")

    def _leave_out(self, what: Sequence[str]) -> None:
        """Say in the test what the person did in the next step and a phone of a test cannot do."""
        if what:
            self._add(f"# Left out, because a phone of a test cannot do it: {', '.join(what)}")

    # What the bot does

    def _expect(self, step: Exchange, *, is_last: bool) -> None:
        self._expect_errors(step.turns, is_last=is_last)
        asked: list[str] = []  # the payment requests that no variable holds yet
        for call in filter(is_done, step.calls):
            body, sent = call["body"] or {}, sent_message(call)
            self._options |= options_in(call["answer"] or {})
            # After a lost answer the bot makes the call again.
            if creates_request(call):
                asked += [call["answer"]["id"]] if call["answer"]["id"] not in self._payments else []
            elif call["path"].endswith("/reactions") and body.get("operation") != "remove" and not call.get("lost"):
                kind = literal(body.get("custom_emoji") or body.get("type"))
                self._add(f"assert await {self._all}.next_tapback() == {kind}")
            elif sent is not None and sent["id"] not in self._expected:
                self._expected.add(sent["id"])
                self._expect_reply(sent, asked)
        if asked:
            self._add(f"await {self._all}.quiet()")
        self._name_payments(asked)

    def _name_payments(self, ids: list[str]) -> None:
        """Put payment requests into variables, because each run of the test has other ids. The ids are removed."""
        for payment_id in ids:
            count = len(self._payments)
            self._payments[payment_id] = name = f"payment_{count + 1}" if count else "payment"
            self._add(f"{name} = phone.payments[{count}]")
        ids.clear()

    def _expect_errors(self, turns: Sequence[JsonObject], *, is_last: bool) -> None:
        """Expect the exceptions of the turns.

        An event that has failed so far is expected to fail once, unless more follows in the test: then the bot must be done
        with it. `advance` raises what fails meanwhile, so all further failures are expected of one call. A turn that was
        deferred has only waited: a phone has no error of it.
        """
        failed = [turn for turn in turns if turn.get("error")]
        if not failed:
            return
        first, *further = [turn["outcome"] != "deferred" for turn in failed]
        if first:
            self._add("(error,) = await phone.errors()")
            self._add(f"assert type(error).__name__ == {literal(failed[0]['error']['type'])}")
        succeeds = turns[-1]["outcome"] == "acked"
        if is_last and not succeeds:
            return
        in_s = [1 if one.get("retry_in_s") is None else one["retry_in_s"] for one in failed[: None if succeeds else -1]]
        if not in_s:
            return
        # The time that has really passed: what is scheduled from now on must not be expected too early.
        self._ms += math.floor(sum(in_s) * 1000)
        advance = f"await phone.advance({math.ceil(sum(in_s) / 0.75)})"
        if not any(further):
            self._add(advance)
            return
        self._fails_again = True
        self._add("with pytest.raises(HandlerFailed):")
        self._add(f"    {advance}")

    def _expect_reply(self, message: JsonObject, asked: list[str]) -> None:
        """Expect a message of the bot, after these payment requests."""
        name = self._new_name("reply", message["id"])
        self._add(f"{name} = await {self._all}.next_reply()")
        self._name_payments(asked)
        if message.get("poll"):
            self._add(f"assert list({name}.votes) == [{_texts_of(message['poll']['options'])}]")
        else:
            self._add(f"assert {name} == {self._expected_text(_text_of(message))}")
        if message.get("effect"):
            self._add(f"assert {name}.effect == {literal(message['effect']['name'])}")
        thread = self._names.get((message.get("reply_to") or {}).get("message_id", ""))
        if thread:
            self._add(f"assert {name}.thread == {thread}.id")
        files = [literal(part.get("filename")) for part in message.get("parts") or () if part["type"] == "media"]
        if files:
            self._add(f"assert [file.filename for file in {name}.media] == [{', '.join(files)}]")

    def _expected_text(self, text: str) -> str:
        """Return a text in which ids of payments, as in the address of a request, are those of the run."""
        for payment_id, name in self._payments.items():
            tail = payment_id.partition("_")[2]
            if tail in text:
                return f'{literal(text)}.replace({literal(tail)}, {name}.partition("_")[2])'
        return literal(text)

    def _phone_of(self, handle: str | None) -> str:
        is_other = self._all == "group" and handle != self._owner
        return f"group.by({literal(handle)})" if is_other else self._all

    def _said(self, message_id: str) -> str:
        """Return the assignment of a person's message to a variable, if a later line needs it."""
        replied = [
            message.get("reply_to") or {}
            for step in self._steps
            for message in (_message_of(step.data), *filter(None, map(sent_message, step.calls)))
        ]
        named = [(one.data.get("message_id"), one.data.get("part") and one.data.get("id")) for one in self._steps]
        is_needed = any(message_id in ids for ids in named) or message_id in [one.get("message_id") for one in replied]
        return f"{self._new_name('said', message_id)} = " if is_needed else ""

    def _new_name(self, word: str, message_id: str) -> str:
        taken = sum(name.startswith(word) for name in self._names.values())
        self._names[message_id] = name = f"{word}_{taken + 1}" if taken else word
        return name

    def _name_of(self, message_id: str) -> str:
        return self._names.get(message_id) or literal(message_id)


def literal(value: str | None) -> str:
    """Return a text as a literal of Python. JSON's escapes are Python's too; half an emoji must be escaped."""
    if value is None:
        return "None"
    return json.dumps(value, ensure_ascii=any("\ud800" <= letter <= "\udfff" for letter in value))


def _message_of(data: JsonObject) -> JsonObject:
    """Return a message event's message in one shape: version 2025-01-01 has it in `message`."""
    return {"parts": [], **(data.get("message") or data)}


def _other_part(index: int | None) -> list[str]:
    """Return the argument for a part of a message; none for the first part."""
    return [f"part_index={index}"] if index else []


def _texts_of(options: Iterable[JsonObject]) -> str:
    return ", ".join(literal(one["text"]) for one in options)


_WORDS = frozenset({"text", "link", "app_clip"})
"""The kinds of parts that are in the text of a message: see `text_of`."""


def _text_of(message: JsonObject) -> str:
    return "\n".join(part["value"] for part in message.get("parts") or () if part["type"] in _WORDS)


def _mention_in(message: JsonObject) -> str | None:
    """Return the piece of the text that mentions the bot."""
    for part in message["parts"]:
        mention: Any = next((one for one in part.get("mentions") or () if one.get("is_me")), None)
        if mention is not None:
            first, end = mention.get("range") or (0, None)
            return str(part["value"][first:end])
    return None
