"""LLM agents in the chats of a linqbot. `LinqAgent` is the plugin, and `run` answers a message with an agent of pydantic-ai.

`linqbot_agent.anthropic`, `.openai` and `.langgraph` have a `run` for agents of other frameworks.
"""

from linqbot_agent.budget import Budget
from linqbot_agent.entries import ResultNotRecorded, idempotency_key
from linqbot_agent.plugin import LinqAgent
from linqbot_agent.run import Counts, run
from linqbot_agent.saying import Media, Poll, Say, Several, Silence, Tapback

__all__ = [
    "Budget",
    "Counts",
    "LinqAgent",
    "Media",
    "Poll",
    "ResultNotRecorded",
    "Say",
    "Several",
    "Silence",
    "Tapback",
    "idempotency_key",
    "run",
]
