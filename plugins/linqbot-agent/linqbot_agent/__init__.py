"""LLM agents in the chats of a linqbot. `LinqAgent` is the plugin, and `run` answers a message with an agent."""

from linqbot_agent.budget import Budget
from linqbot_agent.entries import ResultNotRecorded, idempotency_key
from linqbot_agent.plugin import LinqAgent
from linqbot_agent.run import run

__all__ = ["Budget", "LinqAgent", "ResultNotRecorded", "idempotency_key", "run"]
