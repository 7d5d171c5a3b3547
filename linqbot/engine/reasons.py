"""The reasons why no handler took an event, and the facts of failed calls and of steps, as operators read them.

Reasons are clauses with a subject and a verb: `linqbot dev` shows them after "No handler took it: ". Facts have ids, times and names.
"""

from __future__ import annotations

from typing import Any, Final

from linqbot.characters import cut
from linqbot.engine.failure import refused_by
from linqbot.errors import LinqApiError, Muted, Refused, error_name
from linqbot.turn_events import StepEnded

NO_HANDLER: Final = "the bot has no handler for this event type"
OWN_ECHO: Final = "the bot caused this event itself"
NOT_ALLOWED: Final = "the sender is not allowed"
IN_GROUP: Final = "the bot takes no events of groups"
NOT_ADDRESSED: Final = "the message neither mentions the bot nor replies to it"
MUTED: Final = Muted.why
KEPT: Final = "its message has not come yet, so the edit is kept until then"
MESSAGE_MISSING: Final = "the edited message did not come within a day"
MIDDLEWARE: Final = "middleware ended the event before its handler"
_LONGEST: Final = 500


def failed_call(name: str, error: BaseException) -> dict[str, Any]:
    facts: dict[str, Any] = {"call": name}
    if isinstance(error, LinqApiError):
        facts |= {"status": error.status, "code": error.code, "trace_id": error.trace_id}
    elif isinstance(error, Refused):
        facts |= {"by": refused_by(error), "why": short(str(error))}
    else:
        facts |= {"error": error_name(error)}
    return {name: value for name, value in facts.items() if value is not None}


def step_facts(step: StepEnded) -> dict[str, Any]:
    """Return what is kept of a step: no result."""
    facts: dict[str, Any] = {
        "name": short(step.name),
        "ms": round(step.took_s * 1000, 1),
        "remembered": step.from_journal,
    }
    if step.error is not None:
        facts["error"] = error_name(step.error)
    return {**facts, **step.usage}


def short(text: str) -> str:
    """Return the first line of a text, of limited length, in a form that every storage can keep."""
    line = cut(text.partition("\n")[0], _LONGEST)
    return line if line.isprintable() else ascii(line)[1:-1]
