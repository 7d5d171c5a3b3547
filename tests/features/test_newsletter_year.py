"""A daily newsletter to 200 people in twelve time zones: its times over a year, and the gate in the weeks in which clocks change."""

from __future__ import annotations

import heapq
import itertools
import random
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from types import SimpleNamespace
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from linqbot import Manners
from linqbot.client.call import Call
from linqbot.clock import MovableClock
from linqbot.engine.bag import Bag
from linqbot.engine.feature import GuardedCall
from linqbot.errors import Withheld
from linqbot.features.manners.conduct import Conduct
from linqbot.features.manners.days import first_with_room
from linqbot.features.manners.gate import Gate
from linqbot.features.manners.options import QuietHours, zones_of_number
from linqbot.linq.events.proactive import SCHEDULE_TYPE
from linqbot.storage.backend import Storage
from linqbot.storage.sqlite.memory import MemoryStorage

LINE, ROME = "+12025550100", ZoneInfo("Europe/Rome")
NUMBERS: Final = (
    "+14155550", "+12125550", "+13035550", "+18085550", "+442079460", "+3906123450", "+81312340", "+61291230", "+6493000",
    "+919812345", "+5511987654", "+27115550",
)  # fmt: skip
"""The beginnings of numbers in twelve zones. In Auckland the quiet hours begin when it is 9:00 in Rome, in summer."""
PEOPLE: Final = [f"{NUMBERS[n % 12]}{100 + n // 12}" for n in range(200)]
YEAR: Final = [date(2027, 1, 1) + timedelta(days=day) for day in range(365)]
CHANGES: Final = [day for day in YEAR if (day.month, day.day // 7) in {(3, 1), (3, 2), (3, 4), (4, 0)}]
"""The weeks in which the clocks change in North America, Europe, Australia and New Zealand."""


@cache
def zone_of(person: str) -> tzinfo:
    (found,) = zones_of_number(person)
    return found


def begin(day: date, hour: int = 9, where: tzinfo = ROME) -> float:
    return datetime(day.year, day.month, day.day, hour, tzinfo=where).timestamp()


class Newsletter(ABC):
    """Sends at 9:00 in Rome, each time some seconds later, and again what has waited. People leave on their last day."""

    def __init__(self, clock: MovableClock) -> None:
        self.clock = clock
        self.sent: list[tuple[str, float]] = []
        self.refused: list[str] = []
        self._waiting: list[tuple[float, int, str, str]] = []
        self._numbers = itertools.count()

    async def run(self, days: list[date], last: Mapping[str, date]) -> None:
        rng = random.Random(1)
        for day in days:
            readers = [person for person in PEOPLE if person not in last or day <= last[person]]
            due = [(begin(day) + rng.uniform(0, 8), f"news {day}", person) for person in readers]
            await self._send(sorted(due))
        self.clock.stop_at(begin(days[-1] + timedelta(days=3)))
        await self._send([])

    async def _send(self, due: list[tuple[float, str, str]]) -> None:
        until = due[-1][0] if due else self.clock.now()
        for at, turn, person in due:
            heapq.heappush(self._waiting, (at, next(self._numbers), turn, person))
        while self._waiting and self._waiting[0][0] <= until:
            at = self._waiting[0][0]
            self.clock.stop_at(at)
            while self._waiting and self._waiting[0][0] <= at:
                await self._ask_about(*heapq.heappop(self._waiting)[2:])

    async def _ask_about(self, turn: str, person: str) -> None:
        try:
            await self.ask(turn, person)
        except Withheld as error:
            if error.until is None:
                self.refused.append(f"{turn} {person}: {error}")
            else:
                heapq.heappush(self._waiting, (error.until, next(self._numbers), turn, person))
        else:
            self.sent.append((person, self.clock.now()))

    @abstractmethod
    async def ask(self, turn: str, person: str) -> None:
        """Return if a message may be sent now. Raises Withheld if it must wait, or must not be sent."""


class ByTimes(Newsletter):
    """Asks when the day of a person has room."""

    def __init__(self, clock: MovableClock, quiet_hours: str | None) -> None:
        super().__init__(clock)
        self._quiet = None if quiet_hours is None else QuietHours.read(quiet_hours)
        self._times: defaultdict[str, dict[str, float]] = defaultdict(dict)

    async def ask(self, turn: str, person: str) -> None:
        now, zones = self.clock.now(), [zone_of(person)]

        def allowed(at: float) -> float:
            return at if self._quiet is None else self._quiet.allowed_at(at, zones) or at

        times = self._times[person] = dict(list(self._times[person].items())[-4:])
        taken = [at for other, at in times.items() if other != turn]
        at = first_with_room(now, now, zones, taken=taken, per_day=1, allowed=allowed)
        if at is not None:
            times[turn] = at
        if at != now:
            raise Withheld("It is not sent now.", until=at)


class ByGate(Newsletter):
    """Asks the gate, which keeps its decisions in a storage."""

    def __init__(self, clock: MovableClock, quiet_hours: str | None, storage: Storage) -> None:
        super().__init__(clock)
        turns: Any = SimpleNamespace(clock=clock, storage=storage)
        self._storage = storage
        self._gate = Gate(turns, Conduct(manners=Manners(quiet_hours=quiet_hours, unanswered=None)))
        self._keys: dict[tuple[str, str], str] = {}

    async def ask(self, turn: str, person: str) -> None:
        before = self._keys.get((turn, person))
        key = self._keys[turn, person] = f"{turn} {person}" if before is None else f"{before}~"
        journal: Any = SimpleNamespace(
            turn=turn, data=Bag(), delivery=SimpleNamespace(type=SCHEDULE_TYPE, id=turn), origin=None,
            off_the_record=False, chat_of=_no_chat,
        )  # fmt: skip
        call = Call("chats.create", "POST", "/v3/chats", "keyed", {"from": LINE, "to": [person]})
        try:
            await self._gate.guard(GuardedCall(call, journal, _lines, key))
        finally:
            if before is not None:
                await self._storage.cancel(before)  # the delivery of this timer is handled


async def _no_chat(_: object) -> None:
    return None


async def _lines(_: object) -> Any:
    return SimpleNamespace(data={"phone_numbers": []})


def check(news: Newsletter, days: list[date], last: Mapping[str, date]) -> None:
    """Check that each person got each newsletter, and never two on a day."""
    assert news.refused == []
    assert len({zone_of(person) for person in PEOPLE}) == 12
    on_days = Counter((person, datetime.fromtimestamp(at, zone_of(person)).date()) for person, at in news.sent)
    assert set(on_days.values()) == {1}
    wanted = {person: sum(day <= last.get(person, day) for day in days) for person in PEOPLE}
    assert Counter(person for person, _ in news.sent) == wanted


def leavers(days: list[date]) -> dict[str, date]:
    return {person: days[7 * n % len(days)] for n, person in enumerate(PEOPLE) if n % 4 == 0}


@pytest.mark.slow
async def test_each_day_of_a_year_has_room_for_one_newsletter(subtests: pytest.Subtests) -> None:
    for quiet_hours, days in (("21-8", YEAR), (None, CHANGES), ("9-18", CHANGES)):
        with subtests.test(quiet_hours=quiet_hours):
            news, last = ByTimes(MovableClock(begin(days[0]), frozen=True), quiet_hours), leavers(days)
            await news.run(days, last)
            check(news, days, last)


@pytest.mark.slow
async def test_the_gate_lets_each_person_have_one_newsletter_a_day_while_clocks_change() -> None:
    clock, last = MovableClock(begin(CHANGES[0]), frozen=True), leavers(CHANGES)
    async with MemoryStorage(clock=clock) as storage:
        for person in PEOPLE:
            await storage.note_wrote(person, clock.now())
        news = ByGate(clock, "21-8", storage)
        await news.run(CHANGES, last)
    check(news, CHANGES, last)
