"""Causes twelve outages from outside of `linqbot serve`, and notes which messages the owner of the bot gets, and when.

    uv run --all-packages python benchmarks/outages.py
    uv run --all-packages python benchmarks/outages.py --only "disk full" "dead letters"

Each outage has a bot and an emulator of its own, and receivers on this machine: a server for e-mails, a webhook, and a phone at
the emulator, which is texted where Linq works. People write 2 messages, then 48 more, until the trouble has begun and grown; then
the outage ends. The table has the seconds from the begin of the outage, from the 48 messages and from its end to each message.
A message may wait for 15 seconds here (`LINQBOT_WAIT_MIN`), instead of 5 minutes. All outages run at the same time, in 10 to 15 minutes.

The disk is full for one process: its limit for the size of files is one byte (RLIMIT_FSIZE). PostgreSQL is that of the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import crash
import httpx
from ports import free_port

from linqbot.server.secret_file import REFRESH_EVERY_S

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from owner import Hook, Mails, hook_served, mails_served
from postgres_server import start as start_postgres

BOT: Final = """
import asyncio
import time
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)


def mode() -> str:
    return Path("mode").read_text()


@bot.on_message(attempts=1)
async def echo(message: MessageReceived, ctx: Context) -> None:
    while mode() == "stuck":
        await asyncio.sleep(0.2)
    while mode() == "block":
        time.sleep(0.2)
    if mode() == "fail":
        raise ValueError("no")
    await ctx.reply(message.text)
"""
OWNER: Final = "+14155550199"
OTHER_SECRET: Final = "whsec_" + "B" * 43 + "="
PATIENCE_S: Final = 600.0
STATES: Final = ("began", "grew", "over")
WAYS: Final = ("e-mail", "webhook", "text")


@dataclass
class House:
    """A bot, its emulator, and what its owner gets."""

    place: Path
    http: httpx.AsyncClient
    hook: Hook
    mails: Mails
    emulator: crash.Served
    processes: list[crash.Served] = field(default_factory=list)
    server: Any = None
    people: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def bot(self) -> crash.Served:
        return self.processes[0]

    @property
    def secret_file(self) -> Path:
        return self.place / ".linqbot" / "webhook-secret"

    def set_mode(self, mode: str) -> None:
        """Let handlers be `ok`, `stuck`, `block` or `fail`."""
        (self.place / "mode").write_text(mode)

    async def fault(self, **fault: Any) -> None:
        """Let every call of Linq's API go wrong, from now on."""
        fault = {"on": "api", "times": None, **fault}
        (await self.http.post(f"{self.emulator.url}/emulator/faults", json=fault)).raise_for_status()

    async def no_faults(self) -> None:
        await self.http.delete(f"{self.emulator.url}/emulator/faults")

    async def line(self, status: str) -> None:
        change = {"phone_number": crash.LINE, "status": status}
        (await self.http.post(f"{self.emulator.url}/emulator/lines", json=change)).raise_for_status()

    def limit_files(self, size: int) -> None:
        assert self.bot.process is not None
        _, hard = resource.prlimit(self.bot.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.bot.process.pid, resource.RLIMIT_FSIZE, (size, hard))

    async def linqbot(self, *arguments: str) -> None:
        """Run a command of linqbot next to the bot."""
        command = [sys.executable, "-m", "linqbot", *arguments]
        done = await asyncio.create_subprocess_exec(
            *command, cwd=self.place, env=self.bot.environ, stdout=asyncio.subprocess.DEVNULL
        )
        assert await done.wait() == 0, arguments

    async def people_write(self, count: int) -> None:
        for _ in range(count):
            await crash.write(self.http, self.emulator.url, f"+1415{next(self.people):07}", "hello")

    async def texts(self) -> list[str]:
        """Return the texts that the owner has got."""
        state = (await self.http.get(f"{self.emulator.url}/emulator/state")).json()
        chats = [chat for chat in state["chats"] if OWNER in str(chat)]
        return [each["parts"][0]["value"] for chat in chats for each in chat["messages"] if each["is_from_me"]]


Act = Callable[[House], Awaitable[object] | None]


@dataclass(frozen=True)
class Outage:
    """An outage.

    Attributes:
        trouble: The trouble that the owner learns of.
        no_text: The reason why no text can say it.
        beats: True if heartbeats go on, because people are answered.
        roles: The processes of the bot; several share a PostgreSQL server.
    """

    name: str
    trouble: str
    begin: Act
    end: Act
    no_text: str = ""
    beats: bool = False
    roles: tuple[str, ...] = ("all",)
    needs_postgres: bool = False


async def wrong_secret(house: House) -> None:
    (house.place / "right").write_text(house.secret_file.read_text())
    house.secret_file.write_text(OTHER_SECRET + "\n")
    await asyncio.sleep(REFRESH_EVERY_S + 1)  # until then, the bot may know the right one


def right_secret(house: House) -> None:
    house.secret_file.write_text((house.place / "right").read_text())


async def kill_worker(house: House) -> None:
    await house.processes[1].kill()


async def retry_dead(house: House) -> None:
    house.set_mode("ok")
    await house.linqbot("waiting", "retry", "--all")


def moved(one: str, other: str) -> Act:
    def move(house: House) -> None:
        (house.place / one).rename(house.place / other)

    return move


NO_LINQ: Final = "Linq is away"
OUTAGES: Final[Sequence[Outage]] = (
    Outage("wrong secret", "refused", wrong_secret, right_secret),
    Outage(
        "disk full",
        "storage",
        lambda house: house.limit_files(1),
        lambda house: house.limit_files(resource.RLIM_INFINITY),
    ),
    Outage("storage file gone", "storage", moved("bot.db", "away"), moved("away", "bot.db")),
    Outage(
        "database server gone",
        "storage",
        lambda house: asyncio.to_thread(house.server.stop),
        lambda house: asyncio.to_thread(house.server.start),
        needs_postgres=True,
    ),
    Outage("Linq answers 503", "waiting", lambda house: house.fault(status=503), House.no_faults, NO_LINQ),
    Outage("Linq does not answer", "waiting", lambda house: house.fault(delay_ms=3_600_000), House.no_faults, NO_LINQ),
    Outage("API key refused", "key", lambda house: house.fault(status=401), House.no_faults, "the key is refused"),
    Outage(
        "line flagged",
        f"line {crash.LINE}",
        lambda house: house.line("FLAGGED"),
        lambda house: house.line("ACTIVE"),
        "never by that line",
    ),
    Outage("handlers stuck", "waiting", lambda house: house.set_mode("stuck"), lambda house: house.set_mode("ok")),
    Outage(
        "no worker",
        "waiting",
        kill_worker,
        lambda house: house.processes[1].start(),
        roles=("receive", "work"),
        needs_postgres=True,
    ),
    Outage(
        "event loop blocked",
        "blocked",
        lambda house: house.set_mode("block"),
        lambda house: house.set_mode("ok"),
        "needs the loop",
    ),
    Outage("dead letters", "dead_letters", lambda house: house.set_mode("fail"), retry_dead, beats=True),
)


@dataclass
class Result:
    """The seconds until the owner learned of an outage, by state and way; and the heartbeats meanwhile."""

    outage: Outage
    at: dict[tuple[str, str], float] = field(default_factory=dict)
    beats: int = 0
    sizes: list[int] = field(default_factory=list)
    problem: str = ""

    @property
    def is_complete(self) -> bool:
        """True if every message that must come has come, and heartbeats stopped if they must."""
        ways = [way for way in WAYS if way != "text" or not self.outage.no_text]
        has_all = all((state, way) in self.at for state in STATES for way in ways)
        return not self.problem and has_all and bool(self.beats) == self.outage.beats

    def row(self) -> str:
        cells = [
            " / ".join(f"{self.at[state, way]:.0f} s" if (state, way) in self.at else "–" for state in STATES)
            for way in WAYS
        ]
        if self.outage.no_text:
            cells[-1] += f" ({self.outage.no_text})"
        beats = "goes on" if self.beats else "stops"
        sizes = " → ".join(map(str, self.sizes))
        name = self.outage.name if self.is_complete else f"**{self.outage.name}** {self.problem}"
        return f"| {name} | {self.outage.trouble.partition(' ')[0]} {sizes} | {' | '.join(cells)} | {beats} |"


HEAD: Final = """| outage | trouble, sizes | e-mail: begun / grown / over | webhook | text | heartbeat |
| --- | --- | --- | --- | --- | --- |"""


async def suffer(house: House, outage: Outage, result: Result) -> None:
    """Let an outage begin, grow and end, and note which messages the owner gets."""
    for state, act, messages in (("began", outage.begin, 2), ("grew", None, 48), ("over", outage.end, 1)):
        began = time.monotonic()
        if act is not None and (acting := act(house)) is not None:
            await acting
        await house.people_write(messages)
        await has_heard(house, outage, state, began, result)
        if state == "began":
            beats = len(house.hook.beats)
        elif state == "grew":
            # Two heartbeats are due in this time, if they go on.
            await asyncio.sleep(120)
            result.beats = len(house.hook.beats) - beats


async def has_heard(house: House, outage: Outage, state: str, began: float, result: Result) -> None:
    """Wait until the owner has got the message of a state by e-mail, by the webhook, and by a text if that can be."""
    subject = outage.trouble.replace("_", " ") + {"began": "", "grew": ", grown", "over": ", over"}[state]
    wanted = [way for way in WAYS if way != "text" or not outage.no_text]
    async with asyncio.timeout(PATIENCE_S):
        while not all((state, way) in result.at for way in wanted):
            await asyncio.sleep(0.2)
            hooked = [e for e in house.hook.got if (e["trouble"], e["state"]) == (outage.trouble, state)]
            mailed = [e for e in house.mails.got if e["Subject"].partition(": ")[2] == subject]
            text = hooked[0]["text"].partition(": ")[2] if hooked else ""
            texts = await house.texts() if hooked else []
            texted = [e for e in texts if text and e.partition(": ")[2] == text]
            for way, got in zip(WAYS, (mailed, hooked, texted), strict=True):
                if got:
                    result.at.setdefault((state, way), time.monotonic() - began)
            if hooked and len(result.sizes) < STATES.index(state) + 1 and state != "over":
                result.sizes.append(hooked[0]["size"])


@asynccontextmanager
async def house_of(outage: Outage, place: Path, http: httpx.AsyncClient) -> AsyncIterator[House]:
    """Run a bot with an emulator and the receivers of its owner."""
    (place / "bot.py").write_text(BOT)
    (place / "mode").write_text("ok")
    async with AsyncExitStack() as stack:
        hook, mails = await stack.enter_async_context(hook_served()), await stack.enter_async_context(mails_served())
        emulator = crash.Served(place, "emulator", free_port(), "dev", "--no-bot")
        house = House(place, http, hook, mails, emulator)
        storage = f"sqlite:///{place / 'bot.db'}"
        if outage.needs_postgres:
            house.server = await asyncio.to_thread(start_postgres, place / "data")
            stack.callback(house.server.cleanup)
            storage = house.server.get_uri()
        environ = {
            "LINQ_API_V3_API_KEY": "outages",
            "LINQ_API_V3_BASE_URL": f"{emulator.url}/api/partner",
            "LINQBOT_STORAGE": storage,
            "LINQBOT_TELL": f"{hook.url},mailto:owner@example.com,sms:{OWNER}",
            "LINQBOT_SMTP_URL": f"smtp://127.0.0.1:{mails.port}?from=bot@example.com",
            "LINQBOT_HEARTBEAT_URL": hook.url,
            "LINQBOT_WAIT_MIN": "0.25",
            "LINQBOT_DRAIN_S": "1",
        }
        ports = [free_port() for _ in outage.roles]
        house.processes = [
            crash.Served(place, role, port, "serve", "bot.py", "--role", role, **environ)
            for role, port in zip(outage.roles, ports, strict=True)
        ]
        await stack.enter_async_context(crash.running(emulator))
        await emulator.up(http, "/emulator/state")
        await crash.subscribe(http, emulator.url, house.bot.url, place)
        await stack.enter_async_context(crash.running(*house.processes))
        for process in house.processes:
            await process.up(http, "/readyz")
        await crash.send_first_message(http, emulator.url)
        await crash.settled(http, house.bot.url)
        yield house


async def cause(outage: Outage, http: httpx.AsyncClient, starting: asyncio.Lock) -> Result:
    """Cause an outage, and return which messages the owner got."""
    result = Result(outage)
    with tempfile.TemporaryDirectory(prefix="linqbot-outage-") as own:
        try:
            async with AsyncExitStack() as stack:
                async with starting:  # one after the other: the first message of each must not wait long
                    house = await stack.enter_async_context(house_of(outage, Path(own), http))
                await suffer(house, outage, result)
        except TimeoutError:
            result.problem = f"(no message within {PATIENCE_S:.0f} s; the log ends: {house.bot.log()[-1500:]})"
    print(result.row(), file=sys.stderr, flush=True)
    return result


async def run(outages: Sequence[Outage]) -> Sequence[Result]:
    """Cause outages at the same time."""
    limits, starting = httpx.Limits(max_connections=128), asyncio.Lock()
    async with httpx.AsyncClient(timeout=300, trust_env=False, limits=limits) as http:
        return await asyncio.gather(*(cause(each, http, starting) for each in outages))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=[each.name for each in OUTAGES], metavar="NAME")
    only = parser.parse_args(arguments).only
    results = asyncio.run(run([each for each in OUTAGES if only is None or each.name in only]))
    print(HEAD, *(result.row() for result in results), sep="\n")
    if not all(result.is_complete for result in results):
        raise SystemExit("The owner did not get all messages of an outage.")


if __name__ == "__main__":
    main()
