"""One table says what each refusal of Linq means, and no other module asks for its status or its code."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import linqbot
from linqbot.client.outcome import Refusal, is_refused, meaning_of, refuses_content
from linqbot.errors import AmbiguousCall, CallSkipped, LinqApiError, LinqUnavailable, MessageGone, RateLimited

SEND = "chats.messages.send"


def answered(status: int | None, code: int | None = None, call: str = SEND) -> LinqApiError:
    return LinqApiError("no", status=status, code=code, call=call)


WAIT, FINAL, GONE, LEFT = Refusal.WAIT, Refusal.FINAL, Refusal.GONE, Refusal.LEFT
ROWS: list[tuple[LinqApiError, Refusal | None]] = [
    (LinqUnavailable("away"), WAIT),
    (LinqUnavailable("away", status=503, code=4004), WAIT),
    (RateLimited("busy", status=429, code=1007), WAIT),
    (answered(401, 2004), WAIT),
    (answered(403, 2027), WAIT),
    (answered(409, 2015), WAIT),
    (answered(409, 2015, "available_number.retrieve"), FINAL),
    (answered(403, 2024), Refusal.OPTED_OUT),
    (answered(403, 2005), Refusal.DENIED),
    (answered(403, 2026), FINAL),
    (answered(403), FINAL),
    (answered(404, 2001), GONE),
    (answered(404), GONE),
    (answered(409), LEFT),
    (answered(409, 1006), LEFT),
    (answered(409, 2018), FINAL),
    (answered(409, 2023), FINAL),
    (answered(409, 2017), FINAL),
    *((answered(status, 1005), FINAL) for status in (400, 405, 413, 415, 422)),
    (MessageGone(SEND), None),
    (AmbiguousCall(SEND), None),
    (CallSkipped(SEND), None),
    (answered(200), None),
    (answered(None), None),
]


def test_each_answer_has_one_meaning(subtests: pytest.Subtests) -> None:
    for error, meaning in ROWS:
        with subtests.test(error=str(error)):
            assert meaning_of(error) is meaning
            assert is_refused(error) == (meaning not in (None, WAIT))
            is_about_content = meaning in (FINAL, GONE, LEFT) and error.status != 403
            assert refuses_content(error) == is_about_content


OWN_QUESTIONS = {
    "features/chat_context.py: is the person in the group": 2,
    "content/capabilities.py: can Linq not say now": 1,
    "content/drafts.py: has the line a contact card": 1,
    "content/received.py: has the address of a file expired": 1,
    "content/sending.py: can Linq not fetch the file; is a card not sent yet": 3,
    "engine/call_lookup.py: is a change made already; is there the message to reply to, or the one that opened a chat": 3,
    "engine/outbox.py: was a message deleted that was sent": 1,
    "features/asking/event_waits.py: has the chat no locations": 1,
    "linqbot_agent/mcp.py: what has an MCP server answered": 1,
    "features/proactive.py: may it be the first message of a chat": 1,
}
"""What a module asks of the status or the code of an error besides its meaning, and in how many lines."""


def test_the_rooms_above_the_client_ask_what_a_refusal_means_at_one_place() -> None:
    package, agents = Path(linqbot.__file__).parent, Path(__file__).parents[2] / "plugins/linqbot-agent/linqbot_agent"
    asks = re.compile(r"error\.(?:status|code) (?:==|!=|in|not in) |except \(LinqUnavailable, RateLimited\)")
    found = Counter[str]()
    for path in (*package.rglob("*.py"), *agents.rglob("*.py")):
        name = path.relative_to(package if path.is_relative_to(package) else agents.parent).as_posix()
        if name.startswith(("content/", "engine/", "features/", "bot/", "linqbot_agent/")):
            found[name] += sum(map(bool, map(asks.search, path.read_text(encoding="utf-8").splitlines())))
    assert +found == {each.partition(":")[0]: count for each, count in OWN_QUESTIONS.items()}
