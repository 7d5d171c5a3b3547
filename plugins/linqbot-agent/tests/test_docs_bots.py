"""The bots of docs/agents.md, one for each framework: copied as they are and run, they answer a message.

The clients of the providers are the real ones. They are led to a server in this process by the variables that they read.
"""

from __future__ import annotations

import ast
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from answers import answers
from frameworks import FRAMEWORKS, PACKAGES

from linqbot import Bot
from linqbot.testing import talking

PAGE: Final = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()
BOTS: Final = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "def book_table" in code]
ASKING: Final = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "interrupt(" in code]
NAMED_BY: Final = {
    "pydantic-ai": "import Agent, RunContext",
    "anthropic": "linqbot_agent.anthropic",
    "openai": "linqbot_agent.openai",
    "langgraph": "linqbot_agent.langgraph",
}


class Provider(BaseHTTPRequestHandler):
    """The APIs of Anthropic and OpenAI. Their model calls the tool, and says its result."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps(_message(asked) if self.path == "/v1/messages" else _response(asked)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""


ARGUMENTS: Final = {"hour": 8, "people": 2}


def _message(asked: Any) -> Any:
    last = asked["messages"][-1]["content"]
    result = None if isinstance(last, str) else last[0]["content"]
    call = {"type": "tool_use", "id": "c1", "name": "book_table", "input": ARGUMENTS}
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": [call if result is None else {"type": "text", "text": result}],
        "stop_reason": "tool_use" if result is None else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _response(asked: Any) -> Any:
    result = asked["input"][-1].get("output")
    call = {
        "type": "function_call",
        "id": "f1",
        "call_id": "c1",
        "name": "book_table",
        "arguments": json.dumps(ARGUMENTS),
        "status": "completed",
    }
    text = {"type": "output_text", "text": result, "annotations": []}
    said = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [text]}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "r1",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": asked["model"],
        "output": [call if result is None else said],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, **details},
    }


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        for name, value in (
            ("ANTHROPIC_BASE_URL", address),
            ("ANTHROPIC_API_KEY", "k"),
            ("OPENAI_BASE_URL", f"{address}/v1"),
            ("OPENAI_API_KEY", "k"),
        ):
            monkeypatch.setenv(name, value)
        yield
        server.shutdown()
        thread.join()


def bot_in(code: str) -> Bot:
    names: dict[str, Any] = {"__name__": "bot"}
    exec(compile(code, "bot.py", "exec"), names)
    bot = names["bot"]
    assert isinstance(bot, Bot)
    return bot


@pytest.mark.parametrize("name", sorted(FRAMEWORKS))
async def test_the_bot_of_the_docs_answers_a_message_when_it_is_copied(name: str, provider: None) -> None:
    pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed")
    (code,) = (each for each in BOTS if NAMED_BY[name] in each)
    async with talking(bot_in(code)) as phone:
        (said,) = await answers(phone, "A table for two at 8, please")
    assert said == "A table is free." if name == "langgraph" else "Booked under lb" in said


async def test_the_graph_of_the_docs_asks_and_goes_on_with_the_answers() -> None:
    pytest.importorskip("langgraph", reason="langgraph is not installed")
    (code,) = ASKING
    async with talking(bot_in(code)) as phone:
        assert await answers(phone, "A table, please") == ["We have a table at 8.", "For how many people?"]
        assert await answers(phone, "two") == ["2 people at 8. Book it?"]
        assert await answers(phone, "yes") == ["Booked!"]


def test_the_docs_show_each_framework_in_25_lines_of_which_at_most_three_are_glue() -> None:
    counted = []
    for code in BOTS:
        imports = [each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.ImportFrom)]
        ours = {name.name for each in imports if "linqbot_agent" in str(each.module) for name in each.names}
        names = (each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Name))
        glue = {each.lineno for each in names if each.id in ours - {"idempotency_key"}}
        lines = [line for line in code.splitlines() if line.strip() and not line.strip().startswith("#")]
        counted.append((len(lines), len(glue)))
    assert len(counted) == len(FRAMEWORKS)
    assert [each for each in counted if each[0] > 25 or not 1 <= each[1] <= 3] == []
