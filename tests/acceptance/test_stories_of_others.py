"""Stories of others about claims, which are the leases of their queues, and what linqbot does in the same place.

Each has one fact from the public issues and pull requests of OpenClaw, whose numbers are given, and nothing else of them:

- the claim of a process that is gone blocks its chat for hours (90945, 96374, 124624);
- a claim outlives a restart, because the new process has the process id of the old one, as in a container (94546, 96901, 142435);
- one chat whose handler hangs blocks all chats behind it (124624), here also after crashes that make its message a suspect;
- two recoveries at a start wait for each other (126641).

The processes are real, and killed with SIGKILL while handlers run.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest
from crash import Served, running
from deploy.tools import ran, tool
from patience import PATIENCE_S, until
from ports import free_port
from postgres_server import empty_storage_url
from served_bot import NO_LINQ, deliver, noted

pytestmark = [pytest.mark.slow, pytest.mark.process]

HOURS_S = 4 * 3600
BOT = f"""
import asyncio
import os
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)
begun, handled = (Path(name).open("a", buffering=1) for name in ("begun", "handled"))


async def note(message: MessageReceived, ctx: Context) -> None:
    begun.write(f"{{os.getpid()}} {{message.text}}\\n")
    while Path(f"{{message.text}} hangs").exists():
        await asyncio.sleep(0.02)
    handled.write(f"{{message.chat.id}} {{message.text}}\\n")


bot.on_message("stuck", deadline_s=2.0)(note)
bot.on_message(deadline_s={HOURS_S})(note)  # as long as a lease lasts that no recovery ends
"""
"""A bot that notes the messages that it begins to handle, by process, and has handled. One hangs while a file says so."""

STORAGES = ("sqlite", "postgresql")


class Bots:
    """The processes of one bot, and a sender of webhooks in place of Linq.

    Attributes:
        processes: All of them, which share a storage.
    """

    def __init__(self, folder: Path, processes: list[Served], http: httpx.AsyncClient) -> None:
        self._folder = folder
        self._http = http
        self.processes = processes

    async def ready(self) -> None:
        for each in self.processes:
            await each.up(self._http, "/readyz")

    async def kill(self) -> None:
        """Kill all processes at the same time."""
        for each in self.processes:
            assert each.process is not None
            os.kill(child_of(each.process.pid) or each.process.pid, signal.SIGKILL)
        for each in self.processes:
            assert each.process is not None
            await each.process.wait()

    async def start(self) -> None:
        """Start all processes at the same time, and return when all are ready."""
        await asyncio.gather(*(each.start() for each in self.processes))
        await self.ready()

    async def deliver(self, chat: str, *texts: str, to: int = 0) -> None:
        for text in texts:
            await deliver(self._http, self.processes[to].url, chat, text)

    @contextmanager
    def hanging(self, text: str) -> Iterator[None]:
        """Let the handlers of messages with this text hang while the block runs."""
        file = self._folder / f"{text} hangs"
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    def begun(self, text: str) -> list[str]:
        """Return the ids of the processes that have begun to handle messages with this text, once for each time."""
        file = self._folder / "begun"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [pid for pid, said in lines if said == text]

    async def has_begun(self, text: str, times: int = 1) -> None:
        await until(lambda: len(self.begun(text)) >= times, every_s=0.02)

    def handled(self, chat: str) -> list[str]:
        """Return the messages of a chat that were handled, in order."""
        return [text for where, text in noted(self._folder) if where == chat]

    async def has_handled(self, *chats: str, count: int) -> None:
        await until(lambda: all(len(self.handled(each)) >= count for each in chats), every_s=0.02)


@asynccontextmanager
async def serving(
    folder: Path, storage: str = "postgresql", *, count: int = 1, within: Sequence[str] = (), **environ: str
) -> AsyncIterator[Bots]:
    """Serve the bot by `count` processes, which the command `within` runs. Linq cannot be reached."""
    place = folder / storage
    place.mkdir()
    (place / "bot.py").write_text(BOT)
    url = f"sqlite:///{place / 'bot.db'}" if storage == "sqlite" else empty_storage_url("stories")
    environ = NO_LINQ | {"LINQBOT_STORAGE": url, "LINQBOT_ORDER_WAIT_S": "0"} | environ
    processes = [Served(place, f"bot-{n}", free_port(), "serve", "bot.py", **environ) for n in range(count)]
    for each in processes:
        each.command = [*within, *each.command]
    async with running(*processes), httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        bots = Bots(place, processes, http)
        await bots.ready()
        yield bots


def in_a_container() -> list[str]:
    """Return the command that runs a program as process 1 of a PID namespace, as a container does. Without one, skip the test."""
    unshare = tool("unshare", get="apt-get install util-linux")
    # Only root needs no user namespace for it; and in one, root may not open the socket of the database.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [unshare, *user, "--pid", "--fork", "--kill-child"]
    if refused := ran([*command, "true"]).err:
        pytest.skip(f"This machine gives no PID namespace: {refused}")
    return command


def child_of(pid: int) -> int | None:
    """Return the id of the program that a process runs for us; None if it runs none."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = children.read_text().split() if children.exists() else []
    return int(found[0]) if found else None


def new_chats(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


async def test_the_claim_of_a_process_that_was_killed_does_not_block_its_chat_for_hours(tmp_path: Path) -> None:
    for storage in STORAGES:
        (chat,) = new_chats(1)
        async with serving(tmp_path, storage) as bots:
            with bots.hanging("first"):
                await bots.deliver(chat, "first", "second")
                await bots.has_begun("first")
                await bots.kill()
            await bots.start()
            await bots.deliver(chat, "third")
            await bots.has_handled(chat, count=3)
            assert bots.handled(chat) == ["first", "second", "third"], storage


@pytest.mark.tools
async def test_a_claim_does_not_outlive_a_restart_in_which_the_new_process_has_the_old_ones_id(tmp_path: Path) -> None:
    container = in_a_container()
    for storage in STORAGES:
        (chat,) = new_chats(1)
        async with serving(tmp_path, storage, within=container) as bots:
            with bots.hanging("first"):
                await bots.deliver(chat, "first", "second")
                await bots.has_begun("first")
                await bots.kill()
            await bots.start()
            await bots.has_handled(chat, count=2)
            assert bots.handled(chat) == ["first", "second"], storage
            assert bots.begun("first") == ["1", "1"], storage


async def test_one_chat_that_hangs_blocks_no_other_chat(tmp_path: Path) -> None:
    wedged, *others = new_chats(21)
    async with serving(tmp_path, count=2, LINQBOT_CONCURRENCY="2") as bots:
        with bots.hanging("wedge"):
            await bots.deliver(wedged, "wedge", "behind")
            await bots.has_begun("wedge")
            for chat in others:
                await bots.deliver(chat, "one", "two")
            await bots.has_handled(*others, count=2)
            # A person who sees a silent chat restarts the bot, and the message hangs again.
            await bots.kill()
            await bots.start()
            await bots.has_begun("wedge", times=2)
            for chat in others:
                await bots.deliver(chat, "three", to=1)
            await bots.has_handled(*others, count=3)
            assert bots.handled(wedged) == []
        await bots.has_handled(wedged, count=2)
        assert bots.handled(wedged) == ["wedge", "behind"]
        assert {chat: bots.handled(chat) for chat in others} == {chat: ["one", "two", "three"] for chat in others}


async def test_a_suspect_that_runs_alone_and_hangs_blocks_the_others_no_longer_than_its_time_limit(
    tmp_path: Path,
) -> None:
    for storage in STORAGES:
        suspect, *others = new_chats(6)
        async with serving(tmp_path, storage) as bots:
            with bots.hanging("stuck"):
                await bots.deliver(suspect, "stuck")
                for times in (1, 2):  # after the second crash with it, it is handled while nothing else is
                    await bots.has_begun("stuck", times)
                    await bots.kill()
                    await bots.start()
                await bots.has_begun("stuck", 3)
                for chat in others:
                    await bots.deliver(chat, "one")
                await bots.has_handled(*others, count=1)
                assert bots.handled(suspect) == [], storage


async def test_two_recoveries_at_a_start_do_not_wait_for_each_other(tmp_path: Path) -> None:
    chats = new_chats(16)
    # Linq is away, so each chat waits for what it cannot know: if messages are missing that were sent before.
    async with serving(tmp_path, count=2, LINQBOT_ORDER_WAIT_S="1") as bots:
        said: list[str] = []
        for round_ in ("one", "two", "three"):
            with bots.hanging(round_):
                for number, chat in enumerate(chats):
                    await bots.deliver(chat, round_, f"{round_}-b", to=number % 2)
                await bots.has_begun(round_, len(chats))
                assert len(set(bots.begun(round_))) == 2  # each process leaves claims that the other one finds
                await bots.kill()
            await bots.start()
            said += [round_, f"{round_}-b"]
            await bots.has_handled(*chats, count=len(said))
        assert {chat: bots.handled(chat) for chat in chats} == dict.fromkeys(chats, said)
