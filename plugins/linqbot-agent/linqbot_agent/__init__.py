"""LLM agents in the chats of a linqbot. `LinqAgent` is the plugin, and `run` answers a message with an agent."""

from linqbot_agent.budget import Budget
from linqbot_agent.entries import ResultNotRecorded, idempotency_key
from linqbot_agent.outputs import Media, Poll, Say, Silence, Tapback
from linqbot_agent.plugin import LinqAgent
from linqbot_agent.run import run
from linqbot_agent.turn import Counts

__all__ = [
    "Budget",
    "Counts",
    "LinqAgent",
    "Media",
    "Poll",
    "ResultNotRecorded",
    "Say",
    "Silence",
    "Tapback",
    "idempotency_key",
    "run",
]
