"""The forms on iMessage, RCS and SMS of what a turn sent, which the emulator's page shows side by side.

A send of `ctx.reply` or `ctx.send` is shown as its author wrote it, so that the page also shows what the chat's own service
did not get, such as a poll in an SMS chat. Other sends are shown from their call to Linq.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from linqbot.bot.content.drafts import poll
from linqbot.bot.content.message_split import Sendable
from linqbot.bot.content.preview import Form, Preview, PreviewMessage, Said, preview
from linqbot.client.call import ApiResponse, Call
from linqbot.errors import LinqbotError
from linqbot.types.message import MessageContent

SERVICES: Final = ("imessage", "rcs", "sms")
MAX_SHOWN: Final = 50
"""The sends of one turn that are shown. A report has a limit, and this is more than a person looks at."""
MAX_CHARACTERS: Final = 150_000
"""The texts of all forms of a turn. The emulator refuses reports of more than a megabyte."""


@dataclass(slots=True)
class Sends:
    """The sends of one turn, while it runs."""

    _said: list[Said] = field(default_factory=list, repr=False)
    _calls: dict[str, Call] = field(default_factory=dict, repr=False)

    def note_content(self, said: Said) -> None:
        """Note the content of a reply or a send."""
        if said.sent.messages and len(self._said) < MAX_SHOWN:
            self._said.append(said)

    def note_call(self, call: Call, answer: ApiResponse) -> None:
        """Note a call that sent a message."""
        message_id = _message_id(answer)
        if message_id and len(self._calls) < MAX_SHOWN:
            self._calls[message_id] = call

    def reports(self) -> list[dict[str, Any]]:
        """Return the forms of each send, with the ids of its messages."""
        found = [_report([message.id for message in said.sent.messages], said.preview()) for said in self._said]
        covered = {message_id for report in found for message_id in report["message_ids"]}
        for message_id, call in self._calls.items():
            if message_id not in covered and (content := _content(call)) is not None:
                shown = preview([content], effect=None, cards=False, is_group=None)
                found.append(_report([message_id], shown))
        return list(_within(found, MAX_CHARACTERS))


def _within(reports: Iterable[dict[str, Any]], characters: int) -> Iterator[dict[str, Any]]:
    for report in reports:
        forms = (report[service]["messages"] for service in SERVICES)
        characters -= sum(2 * len(message["text"]) for messages in forms for message in messages)
        if characters < 0:
            return
        yield report


def _message_id(answer: ApiResponse) -> str | None:
    data = answer.data if isinstance(answer.data, Mapping) else {}
    message = data.get("message") or (data.get("chat") or {}).get("message") or {}
    found = message.get("id") or data.get("message_id")
    return str(found) if found else None


def _content(call: Call) -> Sendable | None:
    """Return what a call sends; None if it cannot be read, as with a wrong call of an author."""
    body = call.body or {}
    try:
        if call.name == "chats.polls.create":
            return poll(*(option["text"] for option in body["poll"]["options"]))
        return MessageContent.model_validate(body["message"]) if "message" in body else None
    except (LinqbotError, ValueError, LookupError, TypeError):
        return None


def _report(message_ids: Sequence[str], shown: Preview) -> dict[str, Any]:
    forms = {service: _form(getattr(shown, service)) for service in SERVICES}
    return {"message_ids": list(message_ids), **forms}


def _form(form: Form) -> dict[str, Any]:
    return {"messages": [_message(one) for one in form.messages], "degraded": list(form.degraded)}


def _message(shown: PreviewMessage) -> dict[str, Any]:
    parts = [part.model_dump(mode="json", exclude_none=True) for part in shown.parts]
    return {
        "kind": shown.kind,
        "text": shown.text,
        "files": list(shown.files),
        "parts": parts,
        "effect": shown.effect,
    }
