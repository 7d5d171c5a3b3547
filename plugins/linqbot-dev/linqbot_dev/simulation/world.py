"""The world of a schedule: Linq, the people, the processes of the bot with their network and storage, and what goes wrong.

`run` returns the record of what people, Linq and an outside system have seen, which `checker.py` reads.
"""

from __future__ import annotations

import asyncio
import random
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, cast

import httpx
from pydantic_core import from_json, to_json
from starlette.applications import Starlette

from linqbot.bot.bot import Bot
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.errors import StorageUnavailable
from linqbot.linq.events.delivery import POST_TYPE
from linqbot.plugin_loading import load
from linqbot.server.app import WEBHOOK_PATH, create_app
from linqbot.server.posts import PATH as POSTS_PATH
from linqbot.server.secret_file import SecretFile
from linqbot.storage.backend import Storage
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot_dev.emulator.acts.conversation import Edit, React, Reply, Text, Write
from linqbot_dev.emulator.declared_world import LINES
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app as emulator_app
from linqbot_dev.simulation import disk
from linqbot_dev.simulation.faults import AimedFaults
from linqbot_dev.simulation.loop import VirtualLoop
from linqbot_dev.simulation.network import ToBot, ToLinq, WireCall
from linqbot_dev.simulation.postgres import Database, DatabaseConnections
from linqbot_dev.simulation.process import AimedStorage, SimulatedProcess
from linqbot_dev.simulation.schedule import AimedFault, SeededSchedule
from linqbot_dev.simulation.storages import MemoryOfProcess, SimulatedSQLite, VirtualCommits
from linqbot_dev.testing.samples import signed

MAX_WAIT_S: Final = 2.0
_CALM_S: Final = 20.0
_MOST_S: Final = 6000.0
_PAUSE_OF_DEPLOY_S: Final = 0.1
_PAUSE_OF_POST_S: Final = 2.0


class SimulatedWorld:
    """All that is outside of the bot's processes, and the processes.

    Args:
        make_bot: Makes the bot of a process; the process's generation tells it which deploy it is.
        folder: The folder of the files.
        database: For schedules on PostgreSQL.
    Raises:
        ValueError: a schedule on PostgreSQL has no database.
    Attributes:
        texts, shown, calls, accepted, ledger, muted: Parts of the record, as `checker.py` describes them.
        history: What happened, in words, in order.
    """

    def __init__(
        self,
        schedule: SeededSchedule,
        loop: VirtualLoop,
        make_bot: Callable[[SimulatedWorld, int], Bot],
        folder: Path,
        database: Database | None = None,
    ) -> None:
        self.schedule = schedule
        self.loop = loop
        self.rng = random.Random(f"world {schedule.seed}")
        self.clock = MovableClock()
        self.faults = AimedFaults(schedule.faults)
        self._make_bot = make_bot
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._network = ToBot(self._receive, loop, self.faults, spawn=self.spawn)
        self.emulator = Emulator(clock=self.clock, delivery_transport=self._network)
        self._linq = httpx.ASGITransport(emulator_app(self.emulator))
        self._subscription = self.emulator.subscribe(f"http://127.0.0.1:8000{WEBHOOK_PATH}?version=2026-02-03")
        self._post_secret = self._subscription.secret
        self._secrets = SecretFile(folder / "secrets")
        self._secrets.keep(self._subscription.secret, self._subscription.id)
        self._away_until = 0.0
        self._has_ended = False
        self._memory = MemoryStorage(clock=self.clock) if schedule.kind == "memory" else None
        if schedule.kind == "postgresql" and database is None:
            raise ValueError("A schedule on PostgreSQL needs a database: run(schedule, database=Database(url)).")
        self._database = database if schedule.kind == "postgresql" else None
        self._connections = (
            None if self._database is None else DatabaseConnections(self._database, loop, schedule.disk_s)
        )
        self._disk = disk.Disk(folder, schedule.seed)
        self.processes: list[SimulatedProcess] = []
        self._ended_processes: list[SimulatedProcess] = []
        self.texts: list[dict[str, Any]] = []
        self.accepted: list[dict[str, Any]] = []
        self.calls: list[WireCall] = []
        self.ledger: list[dict[str, Any]] = []
        self.muted: list[dict[str, Any]] = []
        self.history: list[str] = []
        self.errors: list[str] = []

    # Begin and end

    async def __aenter__(self) -> Self:
        await self.emulator.__aenter__()
        for number in range(self.schedule.processes):
            self.processes.append(process := self._new_process(f"p{number + 1}", 1))
            await asyncio.wait({process.started, process.over}, return_when=asyncio.FIRST_COMPLETED)
        return self

    def begin_faults(self) -> None:
        """Let things go wrong: the steps, calls, events and times of faults count from now on."""
        self.faults.begin()
        for fault in self.schedule.faults:
            if fault.on == "time":
                self.spawn(self._at(fault))

    async def __aexit__(self, *exc: object) -> None:
        self._has_ended = True
        for process in self.processes:
            process.life.resume()
            process.stop()
        await asyncio.wait({each.over for each in self.processes}, timeout=60.0)
        for process in [*self.processes, *self._ended_processes]:
            process.kill()
            if isinstance(process.storage, SimulatedSQLite):
                process.storage.drop()
        if self._connections is not None:
            self._connections.close()
        await self.emulator.__aexit__(None, None, None)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.sleep(0)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task that belongs to no process."""
        task = self.loop.create_task(work, context=Context())
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    async def settle(self) -> None:
        """Return when nothing waits any more: no delivery, no timer, no webhook, and all processes are up."""
        calm, end = 0, self.loop.now + _MOST_S
        while calm < 3 and self.loop.now < end:
            await asyncio.sleep(_CALM_S)
            calm = calm + 1 if await self._is_calm() else 0

    async def _is_calm(self) -> bool:
        if not all(process.is_up for process in self.processes) or self.emulator_is_busy:
            return False
        process = self.processes[0]
        assert process.storage is not None
        # As this process: if it ends first, its storage does not answer.
        work = self.loop.create_task(_is_empty(process.storage), context=process.life.context())
        ends: list[asyncio.Future[Any]] = [work, process.over]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return work.done() and work.result()

    @property
    def emulator_is_busy(self) -> bool:
        """True while a webhook waits for another attempt."""
        targets = self.emulator.world.deliveries._targets.values()  # noqa: SLF001 - of the same package
        return any(target.waiting or target.tasks for target in targets)

    def tell(self, what: str) -> None:
        self.history.append(f"{self.loop.now:9.3f} {what}")

    # Processes

    def _new_process(self, name: str, generation: int) -> SimulatedProcess:
        process = SimulatedProcess(name, generation, self.loop, self._reached)
        process.start(self._app)
        self.spawn(self._replaced(process))
        return process

    async def _replaced(self, process: SimulatedProcess) -> None:
        """Start the next process of the machine when one has ended by itself."""
        await asyncio.wait({process.over})
        if self._connections is not None:
            self._connections.end(process.life)
        if process.error is not None:
            why = f"{process.name} ended: {type(process.error).__name__}: {process.error}"
            self.tell(why)
            if not (isinstance(process.error, StorageUnavailable) and not process.started.done()):
                self.errors.append(why)  # else its server was away at the start, and a service manager starts it again
            await self._restart(process, 1.0)

    def _app(self, process: SimulatedProcess) -> Starlette:
        # A cache of linqbot keeps handlers: with a proxy they do not keep this world, and what dead processes have left.
        bot = self._make_bot(weakref.proxy(self), process.generation)
        inner = self._storage(process)
        process.storage = inner
        delay_s = self.schedule.disk_s if self.schedule.kind == "memory" else 0.0
        is_shared = self.schedule.kind == "memory" and self.schedule.processes > 1
        storage = AimedStorage(inner, self.loop, process, delay_s=delay_s, is_shared=is_shared)
        network = ToLinq(
            self._linq, self.loop, self.faults, process.name,
            spawn=self.spawn, note=self.calls.append, is_away=lambda: self.loop.now < self._away_until,
        )  # fmt: skip
        base_url = f"{self.emulator.public_url}/api/partner"
        client = Client("test", base_url=base_url, max_wait_s=MAX_WAIT_S, transport=network, clock=self.clock)
        return create_app(
            bot,
            client=client,
            storage=cast("Storage", storage),
            secrets=[],
            secret_file=self._secrets.path,
            post_secrets=[self._post_secret],
            clock=self.clock,
            drain_s=0,
            plugins=load(bot.plugins),
        )

    def _storage(self, process: SimulatedProcess) -> Storage:
        if self._memory is not None:
            return cast("Storage", MemoryOfProcess(self._memory))
        reach = partial(self._reached, process)
        if self._database is not None and self._connections is not None:
            self._connections.aim(process.life, reach)
            return self._database.storage(self.clock)
        storage = SimulatedSQLite(self._disk.path, self.clock, VirtualCommits(self.loop, self.schedule.disk_s, reach))
        process.life.holds_file = lambda: storage.is_writing
        return storage

    def _reached(self, process: SimulatedProcess, event: str) -> None:
        events = [event]
        if event.endswith(" commit"):
            events += [f"{event} of {name}" for name, count in process.in_flight.items() if count]
        for each in events:
            fault = self.faults.reach(each)
            if fault is not None and not process.life.is_over:
                self._hit(process, fault)

    def _hit(self, process: SimulatedProcess, fault: AimedFault) -> None:
        self.tell(f"{process.name}: {fault}")
        match fault.does:
            case "suspend":
                process.life.suspend()
                self._in_world(lambda: self.loop.call_later(fault.for_s, process.life.resume))
            case "deploy":
                self._in_world(lambda: self.spawn(self._deploy(process)))
            case _:
                process.kill()
                self._after_death(process, power=fault.does == "power loss")
                self._in_world(lambda: self.spawn(self._restart(process, fault.for_s)))

    def _in_world(self, act: Callable[[], object]) -> None:
        """Do something that goes on after the end of the process whose code runs now."""
        Context().run(act)

    def _after_death(self, process: SimulatedProcess, *, power: bool) -> None:
        if isinstance(process.storage, MemoryOfProcess):
            process.storage.end_leases()
        elif isinstance(process.storage, SimulatedSQLite):
            self._disk.replace(power=power)
        elif self._connections is not None:
            self._connections.end(process.life)

    async def _deploy(self, process: SimulatedProcess) -> None:
        process.stop()
        await asyncio.wait({process.over}, timeout=60.0)
        if not process.over.done():
            process.kill()
            self._after_death(process, power=False)
        if process in self.processes:
            await self._restart(process, _PAUSE_OF_DEPLOY_S, is_new=True)

    async def _restart(self, process: SimulatedProcess, after_s: float, *, is_new: bool = False) -> None:
        await asyncio.sleep(after_s)
        if self._has_ended or process not in self.processes:
            return
        self._ended_processes.append(process)
        self.tell(f"{process.name} starts")
        self.processes[self.processes.index(process)] = self._new_process(process.name, process.generation + is_new)

    # What goes wrong by itself

    async def _at(self, fault: AimedFault) -> None:
        await asyncio.sleep(fault.nth)
        self.tell(str(fault))
        match fault.does:
            case "outage":
                self._away_until = self.loop.now + fault.for_s
            case "sleep":
                self.loop.now += fault.for_s
            case "rotate":
                await self._rotate()
            case _:
                self._hit(self.processes[0], fault)

    async def _rotate(self) -> None:
        """Change the signing secret as `linqbot connect rotate` does: first it is in the file, then Linq signs with it."""
        new = "whsec_" + "cm90YXRlZA" * 3 + "cm90YXRlZA=="
        self._secrets.keep(new, "rotated")
        await asyncio.sleep(self.loop.drawn(1.0))
        self._subscription.secret = new

    # Webhooks and people

    async def _receive(self, request: httpx.Request) -> httpx.Response:
        up = [process for process in self.processes if process.is_up]
        if not up:
            raise httpx.ConnectError("No process is up.", request=request)
        process = self.rng.choice(up)
        accepted = self._note_webhook(request)
        response = await process.handle(request)
        if response.is_success and accepted is not None:
            accepted["at"] = self.loop.now
        return response

    def _note_webhook(self, request: httpx.Request) -> dict[str, Any] | None:
        """Note that a text or a post has reached the bot. Return the row of the record, which lacks the time of the answer."""
        event = from_json(request.content)
        if request.url.path == POSTS_PATH:
            text = request.headers["webhook-id"]
        elif event.get("event_type") == "message.received":
            text = event["data"]["id"]
        elif event.get("event_type") == "reaction.added":
            text = _id_of_tapback(event["data"]["message_id"])
        else:
            return None
        self.accepted.append(row := {"text": text, "begun": self.loop.now, "at": None})
        return row

    def write(self, handle: str, text: str, *, reply_to: str | None = None) -> tuple[str, str]:
        """Let a person write, perhaps in reply to a message. Return the ids of the chat and of the message."""
        self.tell(f"{handle} writes: {text}")
        reply = None if reply_to is None else Reply(message_id=reply_to)
        made = self.emulator.do(Write(from_=handle, to=LINES[0], parts=[Text(value=text)], reply_to=reply))
        chat_id, message_id = made["chat_id"], made["message_id"]
        assert chat_id is not None
        assert message_id is not None
        return chat_id, message_id

    def edit(self, handle: str, message_id: str, text: str) -> None:
        """Let a person change a text."""
        self.tell(f"{handle} edits: {text}")
        self.emulator.do(Edit(from_=handle, message_id=message_id, text=text))

    def like(self, handle: str, message_id: str) -> str:
        """Let a person put a tapback on a message. Return the id of the tapback in the record."""
        self.tell(f"{handle} likes {message_id}")
        self.emulator.do(React(from_=handle, message_id=message_id, type="like"))
        return _id_of_tapback(message_id)

    async def post(self, name: str, data: dict[str, Any], post_id: str, *, person: str) -> None:
        """Post to the bot over HTTP as a program does, again and again until it has an answer."""
        self.tell(f"post {post_id} for {person}")
        body = to_json({"type": name, "data": data, "person": person})
        about = {"event_id": post_id, "event_type": POST_TYPE}
        async with httpx.AsyncClient(transport=self._network) as client:
            while not self._has_ended:
                headers = signed(body, about, secret=self._post_secret)
                with suppress(httpx.HTTPError):
                    answer = await client.post(f"http://127.0.0.1:8000{POSTS_PATH}", content=body, headers=headers)
                    # Some programs post once more, because they are not sure.
                    if answer.status_code == 202 and self.rng.random() < 0.7:
                        return
                await asyncio.sleep(_PAUSE_OF_POST_S)

    def shown_to(self, handle: str) -> list[str]:
        """Return the texts of the bot on a person's phone."""
        return [_text(message) for message in self._bubbles(handle)]

    def bubble(self, handle: str, text: str) -> str:
        """Return the id of the first bubble with this text on a person's phone."""
        return next(str(message.id) for message in self._bubbles(handle) if _text(message) == text)

    def _bubbles(self, handle: str) -> Iterator[Any]:
        for chat in self.emulator.state.chats.values():
            if [member.handle for member in chat.others] == [handle]:
                yield from (message for message in chat.messages if message.is_from_me)

    def record(self) -> dict[str, Any]:
        """Return what the world saw, for `checker.check`."""
        shown = [
            {"id": message.id, "chat": chat.id, "at": self.at(message.created_at), "text": _text(message)}
            for chat in self.emulator.state.chats.values()
            for message in chat.messages
            if message.is_from_me
        ]
        return {
            "texts": self.texts,
            "accepted": self.accepted,
            "shown": shown,
            "calls": [made for call in self.calls if (made := self._send(call)) is not None],
            "ledger": self.ledger,
            "muted": self.muted,
            "ended": self.loop.now,
        }

    def _send(self, call: WireCall) -> dict[str, Any] | None:
        """Return a call of the record; None if it sends no message."""
        match call.method, call.path.split("/")[2:]:
            case "POST", ["chats", chat_id, "messages"]:
                pass
            case "POST", ["chats"]:
                chat_id = self._chat_with((call.body or {}).get("to"))
            case _:
                return None
        message = (call.body or {}).get("message", {})
        text = " ".join(part["value"] for part in message.get("parts", []) if part.get("type") == "text")
        return {
            "begun": call.begun, "at": call.at, "chat": chat_id, "key": message.get("idempotency_key"), "text": text,
            "status": call.status, "process": call.process,
        }  # fmt: skip

    def _chat_with(self, handles: list[str] | None) -> str:
        chats = self.emulator.state.chats.values()
        found = (str(chat.id) for chat in chats if [member.handle for member in chat.others] == handles)
        return next(found, "")

    def at(self, wall_time: float) -> float:
        """Return the virtual second of a time of Linq."""
        return wall_time - self.loop.wall_time() + self.loop.now


async def _is_empty(storage: Storage) -> bool:
    with suppress(StorageUnavailable):
        return await storage.depth() == 0 and await storage.next_timer() is None
    return False


def _text(message: Any) -> str:
    return " ".join(part.value for part in message.parts if hasattr(part, "value"))


def _id_of_tapback(message_id: str) -> str:
    return f"tapback on {message_id}"
