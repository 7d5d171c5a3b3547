"""A bot that is about to go live on an emulator, and the doctor that examines it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result
from ports import free_port

from linqbot.cli.main import main
from linqbot.ops.doctor.context import Finding

KEY = "token-that-must-not-show"
LINE = "+12025550100"
BOT = """
from linqbot import Bot, Context, MessageReceived, ReactionAdded

bot = Bot()


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(message.text)


@bot.on_reaction("love")
async def loved(reaction: ReactionAdded, ctx: Context) -> None: ...
"""


class Practice:
    """A bot that is ready to go live on an emulator, and the doctor that examines it."""

    def __init__(self, folder: Path, linq: str) -> None:
        self.folder = folder
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
        (folder / "bot.py").write_text(BOT)
        httpx.post(f"{linq}/emulator/reset").raise_for_status()

    def run(self, *arguments: str) -> Result:
        result = CliRunner().invoke(main, arguments, env=self.environ)
        self.outputs.append(result.output)
        return result

    def sync(self, url: str | None = None) -> None:
        result = self.run("connect", "sync", "bot.py", "--url", url or self.url)
        assert result.exit_code == 0, result.output

    def doctor(self, *arguments: str, file: str = "bot.py") -> list[Finding]:
        result = self.run("check", *([file] if file else []), "--json", *arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        findings = [Finding(**row) for row in json.loads(result.output)]
        assert result.exit_code == any(each.status == "failure" for each in findings)
        assert all(each.fix for each in findings if each.status in {"warning", "failure"})
        return findings

    def api(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(
            method, f"{self.linq}/v3{path}", json=body, headers={"authorization": f"Bearer {KEY}"}
        ).raise_for_status()
        return answer.json() if answer.content else None

    def subscription(self) -> dict[str, Any]:
        (one,) = self.api("GET", "/webhook-subscriptions")["subscriptions"]
        return dict(one)

    def change(self, **fields: Any) -> None:
        self.api("PUT", f"/webhook-subscriptions/{self.subscription()['id']}", fields)

    def secret(self) -> str:
        return (self.folder / ".linqbot" / "webhook-secret").read_text().splitlines()[1].split()[0]


def problems(findings: list[Finding]) -> list[str]:
    return [f"{each.status} {each.code}" for each in findings if each.status not in {"ok", "skipped"}]


def the(findings: list[Finding], code: str) -> Finding:
    return next(each for each in findings if each.code == code)


def serve(practice: Practice, command: Callable[..., Any], **environ: str) -> Any:
    plain = {name: value for name, value in practice.environ.items() if value}
    bot = command("serve", "bot.py", **plain | environ)
    bot.until(lambda: httpx.get(f"http://127.0.0.1:{practice.port}/readyz").status_code == 200)
    return bot


def text_the_bot(practice: Practice) -> None:
    message = {"from": "+14155550142", "to": LINE, "parts": [{"type": "text", "value": "hello"}]}
    httpx.post(f"{practice.linq}/emulator/inbound", json=message).raise_for_status()
    httpx.post(f"{practice.linq}/emulator/flush").raise_for_status()
