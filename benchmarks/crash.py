"""Kills `linqbot serve` with SIGKILL at random moments under load, and counts what was lost, doubled or out of order.

    uv run python benchmarks/crash.py --kills 1000

The emulator and `linqbot serve` run as separate processes. People send numbers to the emulator. It delivers each message
and retries it after any answer but a 2xx, each message on its own schedule. The bot answers each message with its number.
At the end, every chat at the emulator must show every number once, in the order in which it was written.

With `--direct`, signed deliveries go to the bot without the emulator. The deliveries of a chat are sent in order, some of
them twice at once. This allows many more deliveries a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from forked import AsyncForked, can_fork
from ports import free_port

from linqbot.linq.signatures import sign
from linqbot.settings import from_env

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    if message.text == "start":
        return
    await ctx.reply(message.text)
    if int(message.text) % 3 == 0:
        await ctx.send(message.text + "b")
"""


@dataclass
class Report:
    """The result of a run. `lost`, `doubled` and `disordered` must be empty.

    Attributes:
        dead_letters: Deliveries whose turns were killed 5 times. The bot keeps them, but does not answer them.
    """

    deliveries: int
    kills: int = 0
    seconds: float = 0.0
    posts: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    dead_letters: int = 0

    def __str__(self) -> str:
        return (
            f"{self.deliveries} deliveries, {self.posts} posts, {self.kills} kills in {self.seconds:.0f} s: "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.disordered)} chats out of order, "
            f"{self.dead_letters} dead letters"
        )


class Served:
    """A `linqbot` process that can be killed and started again on the same port. It runs only after `start`.

    Attributes:
        command: The command line, for the next start.
        environ: Environment variables, for the next start.
        pass_fds: Files the process inherits at the next start, under the same numbers.
    """

    def __init__(self, folder: Path, name: str, port: int, *arguments: str, **environ: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.command = [sys.executable, "-m", "linqbot", *arguments, "--port", str(port)]
        self.environ = {**os.environ, **environ}
        self.folder = folder
        self._log = folder / f"{name}.log"
        self.pass_fds: Sequence[int] = ()
        self.process: asyncio.subprocess.Process | AsyncForked | None = None

    async def start(self) -> None:
        python, _, program, *arguments = self.command
        if can_fork(self.environ, self.pass_fds) and (python, program) == (sys.executable, "linqbot"):
            self.process = AsyncForked(arguments, self.folder, self.environ, self._log)
            return
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, cwd=self.folder, env=self.environ, stdout=log, stderr=log, pass_fds=self.pass_fds
            )

    async def kill(self, sig: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(sig)
        return await self.process.wait()

    def log(self) -> str:
        """Return what the process has printed."""
        return self._log.read_text()

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await self.kill()

    async def up(self, http: httpx.AsyncClient, path: str) -> None:
        async with asyncio.timeout(300):
            while True:
                assert self.process is not None
                ended = self.process.returncode
                assert ended is None, f"linqbot ended with {ended}: {self._log.read_text()[-2000:]}"
                try:
                    if (await http.get(self.url + path)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(*processes: Served) -> AsyncIterator[None]:
    """Start processes, and kill those that still run after the block, in this order."""
    try:
        for process in processes:
            await process.start()
        yield
    finally:
        for process in processes:
            await process.close()


@contextlib.asynccontextmanager
async def fleet(
    place: Path, code: str, roles: Sequence[str], *, storage: str, linq: str = "http://127.0.0.1:1", **environ: str
) -> AsyncIterator[list[Served]]:
    """Run the processes of a bot made of `code`, one for each role.

    Args:
        storage: The URL of their storage.
        linq: The URL of Linq's API. By default nothing answers there.
    """
    (place / "bot.py").write_text(code)
    environ |= {
        "LINQ_API_V3_API_KEY": "crash",
        "LINQ_API_V3_BASE_URL": linq,
        "LINQ_WEBHOOK_SECRET": SECRET,
        "LINQBOT_STORAGE": storage,
    }
    processes = [
        Served(place, f"{role}-{n}", free_port(), "serve", "bot.py", "--role", role, **environ)
        for n, role in enumerate(roles)
    ]
    async with running(*processes):
        yield processes


class Load:
    """Sends the deliveries of each chat as Linq would, until every delivery was answered with 2xx.

    Args:
        target: The address of the process that receives.
        others: The addresses of further ones. Each attempt goes to one of them all.
    """

    def __init__(
        self,
        target: str,
        http: httpx.AsyncClient,
        chats: list[str],
        count: int,
        seed: int,
        others: Sequence[str] = (),
    ) -> None:
        self._targets = [f"{each}/webhooks/linq" for each in (target, *others)]
        self.random = random.Random(seed)
        self._http = http
        self._at_once = asyncio.Semaphore(CHATS_AT_ONCE)
        self.posts = 0
        self.said = {chat: [str(n) for n in range(i, count, len(chats))] for i, chat in enumerate(chats)}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for chat, numbers in self.said.items():
                group.create_task(self._chat(chat, numbers))

    async def _chat(self, chat: str, numbers: list[str]) -> None:
        async with self._at_once:
            for number in numbers:
                body = received(chat, number)
                copies = 2 if self.random.random() < 0.1 else 1
                await asyncio.gather(*(self.deliver(body) for _ in range(copies)))

    async def deliver(self, body: bytes) -> None:
        event_id = json.loads(body)["event_id"]
        while True:
            now = int(time.time())
            headers = {
                "webhook-id": event_id,
                "webhook-timestamp": str(now),
                "webhook-signature": sign(body, webhook_id=event_id, timestamp=now, secret=SECRET),
            }
            self.posts += 1
            try:
                answer = await self._http.post(self.random.choice(self._targets), content=body, headers=headers)
                if answer.is_success:
                    return
                assert answer.status_code == 503, answer.status_code
            except httpx.TransportError:
                pass
            await asyncio.sleep(self.random.uniform(0.01, 0.1))


class People:
    """People who send the numbers of each chat to Linq, one after the other, without waiting for an answer.

    Args:
        pause_s: The longest pause of a person between two messages.
    """

    def __init__(
        self, linq: str, http: httpx.AsyncClient, chats: list[str], count: int, seed: int, *, pause_s: float = 0.6
    ) -> None:
        self._pause_s = pause_s
        self._linq = linq
        self._http = http
        self._random = random.Random(seed)
        self._at_once = asyncio.Semaphore(CHATS_AT_ONCE)
        self.posts = 0
        self.said = {chat: [str(n) for n in range(i, count, len(chats))] for i, chat in enumerate(chats)}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for n, numbers in enumerate(self.said.values()):
                group.create_task(self._write(_handle(n), numbers))

    async def _write(self, person: str, numbers: list[str]) -> None:
        async with self._at_once:
            for number in numbers:
                await write(self._http, self._linq, person, number)
                self.posts += 1
                await asyncio.sleep(self._random.uniform(0.0, self._pause_s))


async def write(http: httpx.AsyncClient, emulator: str, person: str, text: str) -> str:
    """Let a person write to the line. Return the id of the chat."""
    body = {"from": person, "to": LINE, "parts": [{"type": "text", "value": text}]}
    answer = await http.post(f"{emulator}/emulator/inbound", json=body)
    return str(answer.raise_for_status().json()["chat_id"])


async def subscribe(http: httpx.AsyncClient, emulator: str, bot: str, place: Path) -> str:
    """Subscribe the bot to messages at the emulator, and return the secret. The bot reads it from its file."""
    target = f"{bot}/webhooks/linq?version=2026-02-03"
    body = {"target_url": target, "subscribed_events": ["message.received"]}
    made = await http.post(f"{emulator}/v3/webhook-subscriptions", json=body, headers={"authorization": "Bearer crash"})
    secrets = place / ".linqbot" / "webhook-secret"
    await asyncio.to_thread(secrets.parent.mkdir, mode=0o700, exist_ok=True)
    secret = str(made.json()["signing_secret"])
    await asyncio.to_thread(secrets.write_text, secret + "\n")
    return secret


async def send_first_message(http: httpx.AsyncClient, emulator: str) -> None:
    """Send a first message and wait for its answer: a bot without an earlier webhook never fetches missed messages."""
    chat = await write(http, emulator, "+14159999999", "1")
    async with asyncio.timeout(300):
        while not (await replies(http, emulator))[chat]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


async def all_answered(http: httpx.AsyncClient, emulator: str, said: dict[str, list[str]]) -> None:
    """Wait until all answers have arrived, or for as long as Linq may need for its last retry."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(900):
            while True:
                began = time.monotonic()
                if not _is_reply_missing(said, await replies(http, emulator)):
                    return
                # For 5,000 chats the emulator needs seconds to list them, in which it delivers nothing.
                await asyncio.sleep(max(2.0, 10 * (time.monotonic() - began)))


def _is_reply_missing(said: dict[str, list[str]], found: dict[str, list[str]]) -> bool:
    return any(not set(_expected(numbers)) <= set(found[chat]) for chat, numbers in said.items())


def _expected(numbers: list[str]) -> list[str]:
    return [said for n in numbers for said in ([n, n + "b"] if int(n) % 3 == 0 else [n])]


def received(chat: str, text: str) -> bytes:
    """Return the body of a webhook: a person has sent this text."""
    line = {"id": str(uuid.uuid4()), "handle": "+12025550100", "service": "iMessage", "is_me": True}
    person = {"id": str(uuid.uuid4()), "handle": "+14155550142", "service": "iMessage", "is_me": False}
    data: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "chat": {"id": chat, "is_group": False, "owner_handle": line},
        "direction": "inbound",
        "sender_handle": person,
        "parts": [{"type": "text", "value": text}],
        "service": "iMessage",
    }
    event = {"api_version": "v3", "webhook_version": "2026-02-03", "event_type": "message.received"}
    return json.dumps(event | {"event_id": str(uuid.uuid4()), "data": data}).encode()


LINE = "+12025550100"
CHATS_AT_ONCE = 40
PER_CHAT = 20
"""Deliveries of one chat. Linq allows 30 messages a minute from a line to a person, and a third of them gets two answers."""


@contextlib.asynccontextmanager
async def house(
    place: Path, code: str, *, storage: str | None = None
) -> AsyncIterator[tuple[Served, Served, httpx.AsyncClient]]:
    """Run a bot made of `code` and an emulator; yield both, and a client to reach them.

    Args:
        storage: The URL of the bot's storage; None means a file in `place`.
    """
    (place / "bot.py").write_text(code)
    emulator = Served(place, "emulator", free_port(), "dev", "--no-bot")
    bot = Served(
        place,
        "bot",
        free_port(),
        "serve",
        "bot.py",
        LINQ_API_V3_API_KEY="crash",
        LINQ_API_V3_BASE_URL=emulator.url + "/api/partner",
        LINQ_WEBHOOK_SECRET=SECRET,
        LINQBOT_STORAGE=storage or f"sqlite:///{place / 'crash.db'}",
    )
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(timeout=300, trust_env=False, limits=limits) as http, running(bot, emulator):
        await emulator.up(http, "/emulator/state")
        yield bot, emulator, http


async def run(
    deliveries: int,
    kills: int,
    *,
    seed: int = 0,
    folder: Path | None = None,
    direct: bool = False,
    storage: str | None = None,
) -> Report:
    """Send `deliveries` and kill the bot `kills` times while they arrive. For `direct`, see the module's docstring."""
    report, started = Report(deliveries), time.monotonic()
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="linqbot-crash-") as own:
        place = folder or Path(own)
        async with house(place, BOT, storage=storage) as (bot, emulator, http):
            ids = await chats(http, emulator.url, -(-deliveries // PER_CHAT))
            await bot.up(http, "/readyz")
            load: Load | People
            if direct:
                load = Load(bot.url, http, ids, deliveries, seed)
            else:
                await subscribe(http, emulator.url, bot.url, place)
                await send_first_message(http, emulator.url)
                load = People(emulator.url, http, ids, deliveries, seed)
            # On a slow machine, people have written everything before the bot was killed often: their answers count too.
            arriving = begin(load) if direct else asyncio.create_task(write_and_wait(load, http, emulator.url))
            await kill_now_and_then(bot, http, arriving, kills, dice, report)
            await arriving
            await settled(http, bot.url)
            await judge(report, load, bot, emulator, http)
    report.seconds = time.monotonic() - started
    return report


def begin(load: Load | People) -> asyncio.Task[None]:
    """Start to send deliveries."""
    return asyncio.create_task(load.run())


async def write_and_wait(people: Load | People, http: httpx.AsyncClient, emulator: str) -> None:
    await people.run()
    await all_answered(http, emulator, people.said)


async def kill_now_and_then(
    bot: Served,
    http: httpx.AsyncClient,
    arriving: asyncio.Task[None],
    kills: int,
    dice: random.Random,
    report: Report,
) -> None:
    """Kill the bot at random moments, and start it again, until it was killed often enough or all has arrived."""
    while report.kills < kills and not arriving.done():
        await asyncio.sleep(dice.expovariate(1 / 0.15))
        await bot.kill()
        report.kills += 1
        await bot.start()
        if dice.random() < 0.8:
            await bot.up(http, "/readyz")  # the other kills hit the bot while it starts
        if sys.stderr.isatty():
            print(f"\r{report.kills}/{kills} kills", end="", file=sys.stderr)
    await bot.up(http, "/readyz")


async def chats(http: httpx.AsyncClient, emulator: str, count: int) -> list[str]:
    """Let `count` people write to the line. Return the ids of their chats."""
    return [await write(http, emulator, _handle(n), "start") for n in range(count)]


def _handle(n: int) -> str:
    return f"+1415{n:07}"


async def settled(http: httpx.AsyncClient, bot: str) -> None:
    """Wait until the bot has nothing left to handle."""
    async with asyncio.timeout(300):
        while (await http.get(f"{bot}/readyz")).json()["waiting"]:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)


async def judge(report: Report, load: Load | People, bot: Served, emulator: Served, http: httpx.AsyncClient) -> None:
    """Note in the report what people have not got, or not as it should be, once the bot has handled all."""
    report.posts = load.posts
    report.dead_letters = await count_dead_letters(bot.environ["LINQBOT_STORAGE"])
    said = await replies(http, emulator.url)
    for chat, numbers in load.said.items():
        compare(report, chat, numbers, said[chat])


async def count_dead_letters(storage_url: str) -> int:
    async with from_env({"LINQBOT_STORAGE": storage_url}).open_storage(serving=False) as storage:
        return len(await storage.dead_letters())


async def replies(http: httpx.AsyncClient, emulator: str) -> dict[str, list[str]]:
    """Return the messages of the bot in each chat, in order."""
    state = (await http.get(f"{emulator}/emulator/state", timeout=300)).json()
    return {
        chat["id"]: [message["parts"][0]["value"] for message in chat["messages"] if message["is_from_me"]]
        for chat in state["chats"]
    }


def compare(report: Report, chat: str, numbers: list[str], replies: list[str]) -> None:
    """Note in the report which replies of a chat are missing, sent twice or out of order."""
    expected = _expected(numbers)
    counted = Counter(replies)
    report.lost += [said for said in expected if not counted[said]]
    report.doubled += [said for said, times in counted.items() if times > 1]
    if list(dict.fromkeys(replies)) != [said for said in expected if counted[said]]:
        report.disordered.append(chat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--deliveries", type=int, help="default: 150 for each kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--direct", action="store_true", help="send deliveries to the bot without the emulator")
    given = parser.parse_args()
    count = given.deliveries or (150 if given.direct else 60) * given.kills
    report = asyncio.run(run(count, given.kills, seed=given.seed, direct=given.direct))
    print(report)
    sys.exit(bool(report.lost or report.doubled or report.disordered))


if __name__ == "__main__":
    main()
