"""The runs of a turn: the steps of its agent or handler in words, which were remembered and which ran, with times and tokens.

The record of a run has no contents (`storage/outcomes.py`). Only `linqbot dev` shows arguments and results, while it has the report
of the turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import from_json

from linqbot.engine.reasons import step_facts
from linqbot.storage.outcomes import OutcomeRow
from linqbot.turn_events import StepEnded

MOST_SHOWN: Final = 50
MOST_BYTES: Final = 400_000
"""The results of one run that are shown. The emulator refuses reports of more than a megabyte."""
TOO_LONG: Final = "It is too long to be shown here."


def label(name: str) -> str:
    """Return the name of a step; of a step of linqbot-agent that of its tool, or of the request to the model, without ids."""
    last = name.rpartition("/")[2]
    return last.partition("@")[0].replace("__", ":").rpartition(":")[2] if "@" in last else name


def said_of(step: Mapping[str, Any]) -> str:
    """Return in a few words how a step has ended, from its record."""
    if step["remembered"]:
        return "remembered"
    took = f"{step['ms']:.0f} ms"
    return f"failed after {took}: {step['error']}" if "error" in step else ", ".join(filter(None, (took, used([step]))))


def used(steps: Sequence[Mapping[str, Any]]) -> str:
    """Return the tokens and the cost of the steps that ran; empty if none has any."""
    ran = [step for step in steps if not step["remembered"]]
    given, taken, cost = (sum(step.get(name, 0) for step in ran) for name in ("input_tokens", "output_tokens", "cost"))
    return ", ".join(filter(None, (given + taken and f"{given} + {taken} tokens", cost and f"${cost:.4f}")))


def lines_of(row: OutcomeRow) -> list[str]:
    """Return the run of an outcome and each of its steps, a line each; nothing if it had no steps."""
    steps = from_json(row.steps or "[]")
    if not steps:
        return []
    remembered = sum(step["remembered"] for step in steps)
    facts = (row.outcome, f"{row.ms or 0:.0f} ms", f"{remembered} of {len(steps)} steps remembered", used(steps))
    run = f"run {row.runs}: {', '.join(filter(None, facts))}"
    return [run, *(f"{label(step['name'])}: {said_of(step)}" for step in steps)]


def with_contents(steps: Sequence[StepEnded]) -> list[dict[str, Any]]:
    """Return the steps of a run with the arguments and results of tools, for the page of `linqbot dev`."""
    shown, room = [], MOST_BYTES
    for n, step in enumerate(shown_steps := steps[-MOST_SHOWN:]):
        room -= len(step.answer or b"")
        call_id = step.name.rpartition("@")[2].partition("#")[0] if "@" in step.name else None
        # Only the response that names the call is read: results of tools are long.
        asked = (each.answer for each in shown_steps[:n] if call_id and each.answer and call_id.encode() in each.answer)
        found = (_arguments(from_json(answer), call_id) for answer in asked)
        facts = {"name": label(step.name), "said": said_of(step_facts(step)), "failed": step.error is not None}
        contents = {
            "arguments": next((each for each in found if each is not None), None),
            "result": from_json(step.answer or b"null") if room >= 0 else TOO_LONG,
        }
        shown.append({**facts, "remembered": step.from_journal, **contents})
    return shown


def _arguments(response: object, call_id: str | None) -> Any:
    """Return the arguments of a call in a model's response; None if it is not there. The SDKs differ in the names only."""
    if isinstance(response, dict):
        if call_id in (response.get("tool_call_id"), response.get("call_id"), response.get("id")):
            return next((response[name] for name in ("args", "arguments", "input") if response.get(name)), None)
        response = list(response.values())
    inner = response if isinstance(response, list) else ()
    return next((found for each in inner if (found := _arguments(each, call_id)) is not None), None)
