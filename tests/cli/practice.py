"""A bot that is about to go live on an emulator, and the doctor that examines it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emulator_control
import httpx
from click.testing import Result
from ports import free_port
from signed import SECRET
from typed_command import run

from linqbot.features.asking.arrivals import ANSWERS
from linqbot.ops.doctor.context import Finding

KEY = f"token-{secrets.token_hex(8)}"
LINES = ("+12025550100", "+12025550101")
LINE = LINES[0]
ALWAYS = {"message.sent", "message.delivered", "message.read", "message.failed", "poll.received", *ANSWERS}
"""The types of events that every bot subscribes to: receipts of its messages, answers to its questions, and what a handoff shows."""
ALONE = {"LINQ_API_V3_API_KEY": "key", "LINQ_WEBHOOK_SECRET": SECRET, "LINQ_API_V3_BASE_URL": "http://127.0.0.1:9"}
"""The settings of a bot that reaches no Linq."""
BOT = """
from linqbot import Bot, Context, MessageReceived, ReactionAdded

bot = Bot()


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(message.text)


@bot.on_reaction("love")
async def loved(reaction: ReactionAdded, ctx: Context) -> None: ...
"""
ANSWERING = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, loop_breaker=False)


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You said: {message.text}")
"""


class Practice:
    """A folder with a bot that is ready to go live, its account on an emulator, and the doctor that examines it."""

    def __init__(self, folder: Path, linq: str, code: str = BOT) -> None:
        self.folder = folder
        self.secret_file = folder / ".linqbot" / "webhook-secret"
        self.linq = linq
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/webhooks/linq"
        self.outputs: list[str] = []
        self.environ: dict[str, str | None] = {
            "LINQ_API_V3_API_KEY": KEY,
            "LINQ_API_V3_BASE_URL": linq,
            "LINQ_WEBHOOK_SECRET": None,
            "LINQBOT_STORAGE": None,
            "LINQBOT_PORT": str(self.port),
        }
        (folder / "bot.py").write_text(code)
        httpx.post(f"{linq}/emulator/reset").raise_for_status()

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a process."""
        return {name: value for name, value in self.environ.items() if value}

    def run(self, *arguments: str, **how: Any) -> Result:
        result = run(*arguments, **self.environ | how)
        self.outputs.append(result.output)
        return result

    def sync(self, url: str | None = None) -> None:
        result = self.run("connect", "sync", "bot.py", "--url", url or self.url)
        assert result.exit_code == 0, result.output

    def doctor(self, *arguments: str, file: str = "bot.py") -> list[Finding]:
        result = self.run("check", *([file] if file else []), "--json", *arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        findings = [Finding(**row) for row in json.loads(result.stdout)]
        assert result.exit_code == any(each.status == "failure" for each in findings)
        assert all(each.fix for each in findings if each.status in {"warning", "failure"})
        return findings

    def text(self, said: str, person: str = "+14155550142") -> None:
        body = {"from": person, "to": LINE, "parts": [{"type": "text", "value": said}]}
        httpx.post(f"{self.linq}/emulator/inbound", json=body).raise_for_status()

    def replies(self) -> list[str]:
        return emulator_control.replies(self.linq)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(
            method, f"{self.linq}/v3{path}", json=body, headers={"authorization": f"Bearer {KEY}"}
        ).raise_for_status()
        return answer.json() if answer.content else None

    def subscriptions(self) -> list[dict[str, Any]]:
        return list(self.api("GET", "/webhook-subscriptions")["subscriptions"])

    def subscription(self) -> dict[str, Any]:
        (one,) = self.subscriptions()
        return one

    def change(self, **fields: Any) -> None:
        self.api("PUT", f"/webhook-subscriptions/{self.subscription()['id']}", fields)

    def kept(self) -> dict[str, str]:
        """Return the stored secrets by subscription id, which is empty for a secret alone."""
        lines = self.secret_file.read_text().splitlines() if self.secret_file.is_file() else []
        rows = [(*line.split(), "") for line in lines if not line.startswith("#")]
        return {row[1]: row[0] for row in rows}

    def secret(self) -> str:
        """Return the secret that was stored first."""
        return next(iter(self.kept().values()))

    def connect(self, *arguments: str, code: int = 0, **how: Any) -> str:
        """Run `linqbot connect`, which ends with this exit code, and return its output."""
        result = self.run("connect", *arguments, **how)
        assert result.exit_code == code, result.output
        return result.output

    def create(self, url: str, *types: str) -> dict[str, Any]:
        """Create a subscription without linqbot."""
        return dict(self.api("POST", "/webhook-subscriptions", {"target_url": url, "subscribed_events": types}))

    def fault(self, **how: Any) -> None:
        httpx.post(f"{self.linq}/emulator/faults", json=how).raise_for_status()

    def deliveries(self, **fields: str) -> list[dict[str, Any]]:
        """Return the emulator's deliveries, oldest first: of all, those with these values."""
        found: list[dict[str, Any]] = httpx.get(f"{self.linq}/emulator/deliveries", params=fields).json()["deliveries"]
        return found


def problems(findings: list[Finding]) -> list[str]:
    return [f"{each.status} {each.code}" for each in findings if each.status not in {"ok", "skipped"}]


def the(findings: list[Finding], code: str) -> Finding:
    return next(each for each in findings if each.code == code)


def is_ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200


def serve(practice: Practice, command: Callable[..., Any], *options: str, **environ: str) -> Any:
    """Serve the bot, and wait until it is ready."""
    bot = command("serve", "bot.py", *options, **practice.settings | environ)
    bot.until(lambda: is_ready(practice.port))
    return bot


def serve_alone(command: Callable[..., Any], port: int, **environ: str) -> Any:
    """Serve a bot that reaches no Linq, and wait until it is ready."""
    bot = command("serve", "bot.py", "--port", str(port), **ALONE | environ)
    bot.until(lambda: is_ready(port))
    return bot


def text_the_bot(practice: Practice) -> None:
    practice.text("hello")
    httpx.post(f"{practice.linq}/emulator/flush").raise_for_status()
