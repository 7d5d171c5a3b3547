"""A schedule: all that a seed decides about people, processes and faults. It is data, so that a failing one can shrink.

Only the times of what is outside of the event loop are not in it: the loop draws them from the same seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Self, TypeAlias

Kind: TypeAlias = Literal["memory", "sqlite", "postgresql"]

OF_CALLS: Final = ("503", "429", "500 after", "refused", "reset", "answer lost", "late", "doubled", "slow")
"""What can happen to a request of the bot to Linq."""

OF_WEBHOOKS: Final = ("lost", "answer lost", "doubled", "doubled late", "slow", "503")
"""What can happen to a webhook on its way to the bot."""

OF_PROCESSES: Final = ("kill", "power loss", "suspend", "deploy")
"""What can happen to a process."""

OF_WORLD: Final = ("outage", "sleep", "rotate")
"""What can happen to Linq, to the machine, and to the signing secret."""

LONGEST_PAUSE_S: Final = 3600.0
"""More seconds than all faults of a drawn schedule together keep the bot from answering: it may be suspended twice for 1500 s."""

AIMS: Final = (
    "before put", "after put", "after take", "before begin", "after begin", "before settle", "after settle",
    "before finish", "after finish", "before fire", "after fire", "after schedule", "after cancel", "after put_in_order", "after join",
    "before question", "after question", "before stock", "after stock", "after change_holds", "after note_consent",
    "after start_broadcast", "after commit of put", "before commit of finish", "after commit of finish", "after commit of fire",
)  # fmt: skip
"""The events at which a process can be hit: each is before or after the storage has written something.

A write with more than one commit can be hit between them; a storage in memory has none.
"""

AIMS_BY_SCENE: Final[Mapping[str, Sequence[str]]] = {
    "ask": ("before question", "after question"),
    "buy": ("before stock", "after stock"),
    "drop": ("after cancel", "before fire", "after fire"),
    "form": ("before question", "after question"),
    "human": ("before question", "after change_holds"),
    "later": ("before fire", "after fire", "after commit of fire"),
    "mute": ("after change_holds", "after fire"),
    "news": ("after start_broadcast", "after fire"),
    "once": ("after begin", "before settle"),
    "order": ("before question", "after question"),
    "quote": ("before question", "after question"),
}
"""The events that a scene has and others have not. A schedule with the scene is more often hit there."""


@dataclass(frozen=True, slots=True)
class AimedFault:
    """One thing that goes wrong.

    Attributes:
        on: "call", "webhook", "step", "before commit", "after commit", one of `AIMS`, or "time".
        nth: The number of the call, webhook, step or event at which it happens, from 1. For "time": the virtual second.
        does: What happens: of `OF_CALLS`, `OF_WEBHOOKS`, `OF_PROCESSES` or `OF_WORLD`.
        for_s: Seconds that it lasts: until a process is back, an answer arrives, Linq answers again.
    """

    on: str
    nth: float
    does: str
    for_s: float = 0.0

    def __str__(self) -> str:
        when = f"at {self.nth:g} s" if self.on == "time" else f"at {self.on} {self.nth:g}"
        return f"{when}: {self.does}" + (f", {self.for_s:g} s" if self.for_s else "")


@dataclass(frozen=True, slots=True)
class SceneVisit:
    """One time that a person does something with the bot: writes, answers what is asked.

    Attributes:
        scene: The name of what the person does, of `bots.SCENES`.
        person: The number of the person, from 0.
        number: A number that stands in all texts of the visit, and in no others.
        after_s: Seconds after the person's visit before.
    """

    scene: str
    person: int
    number: int
    after_s: float

    def __str__(self) -> str:
        return f"person {self.person}, {self.after_s:g} s later: {self.scene} {self.number}"


@dataclass(frozen=True, slots=True)
class SeededSchedule:
    """All that happens in one run of the simulation.

    Attributes:
        seed: Draws the times of what is outside of the loop.
        processes: The number of processes that serve the bot.
        disk_s: Mean seconds of a commit.
        handler_s: Longest time in seconds that a handler works between two of its steps.
        manners: The bot keeps the rules of opt-outs.
    """

    seed: int
    kind: Kind
    visits: tuple[SceneVisit, ...]
    faults: tuple[AimedFault, ...] = ()
    processes: int = 1
    disk_s: float = 0.002
    handler_s: float = 0.3
    manners: bool = True

    def without(self, *, visits: Sequence[SceneVisit] = (), faults: Sequence[AimedFault] = ()) -> Self:
        """Return the schedule without some of its visits and faults."""
        return replace(
            self,
            visits=tuple(each for each in self.visits if each not in visits),
            faults=tuple(each for each in self.faults if each not in faults),
        )

    def story(self) -> list[str]:
        """Return the schedule in words, a line for each part."""
        about = f"seed {self.seed}, {self.kind}, {self.processes} processes, a commit takes {self.disk_s * 1000:g} ms"
        return [about, *map(str, self.visits), *map(str, self.faults)]

    def source(self) -> str:
        """Return the Python expression of this schedule, for a test."""
        visits = "".join(f"\n        {each!r}," for each in self.visits)
        faults = "".join(f"\n        {each!r}," for each in self.faults)
        rest = ", ".join(f"{name}={getattr(self, name)!r}" for name in ("processes", "disk_s", "handler_s", "manners"))
        return f"SeededSchedule(\n    {self.seed}, {self.kind!r},\n    ({visits}\n    ),\n    ({faults}\n    ),\n    {rest},\n)"


def drawn(seed: int, kind: Kind, scenes: Sequence[str]) -> SeededSchedule:
    """Return the schedule of a seed: two to four people with about twelve texts, and faults.

    Args:
        scenes: The names of what people may do.
    """
    rng = random.Random(f"schedule {seed}")
    numbers = iter(range(1, 1000))
    people = rng.randint(2, 4)
    # A few scenes each, and not one of each: faults of one kind of turn need several turns of this kind.
    chosen = rng.sample(list(scenes), min(len(scenes), rng.randint(2, 4)))
    visits = [
        SceneVisit(rng.choice(chosen), rng.randrange(people), next(numbers), _pause(rng))
        for _ in range(rng.randint(3, 7))
    ]
    handler_s = rng.choice((0.0, 0.3, 2.0))
    if rng.random() < 0.35:
        # All want the same at the same moment, as when a sale begins: their turns end in one commit.
        wanted, handler_s = rng.choice([*chosen, *(each for each in scenes if each == "buy")]), 0.0
        visits = [SceneVisit(wanted, person, next(numbers), _moment(rng)) for person in range(people)] + visits
    aims = [*AIMS, *(aim for scene in chosen for aim in AIMS_BY_SCENE.get(scene, ()) for _ in range(4))]
    processes = 1 if kind == "sqlite" else rng.choice((1, 2, 2, 3))
    return SeededSchedule(
        seed,
        kind,
        tuple(visits),
        tuple(_faults(rng, aims)),
        processes,
        disk_s=rng.choice((0.0005, 0.004, 0.05)),
        handler_s=handler_s,
        manners=rng.random() < 0.7,
    )


def _moment(rng: random.Random) -> float:
    return round(0.5 + rng.uniform(0.0, 0.01), 4)


def _pause(rng: random.Random) -> float:
    return round(rng.choice((0.0, 0.0, 0.1, 1.0, 8.0)) + rng.uniform(0.001, 0.02), 3)


def _faults(rng: random.Random, aims: Sequence[str]) -> list[AimedFault]:
    if rng.random() < 0.05:
        return []
    found = [_fault_of_network(rng) for _ in range(rng.choice((0, 1, 2, 4)))]
    found += [_fault_of_process(rng, aims) for _ in range(rng.choice((0, 1, 1, 2)))]
    if rng.random() < 0.2:
        does = rng.choice(OF_WORLD)
        # An agent whose model does not answer for five minutes apologises, as it may: a machine sleeps for less.
        for_s = rng.choice((2.0, 30.0, 200.0 if does == "sleep" else 400.0))
        found.append(AimedFault("time", round(rng.uniform(0, 20), 2), does, for_s))
    return found


def _fault_of_network(rng: random.Random) -> AimedFault:
    if rng.random() < 0.5:
        does = rng.choice(OF_CALLS)
        return AimedFault(
            "call", rng.randint(1, 16), does, round(rng.uniform(1, 70), 1) if does in ("late", "slow") else 0.0
        )
    does = rng.choice(OF_WEBHOOKS)
    return AimedFault("webhook", rng.randint(1, 16), does, round(rng.uniform(0.1, 9), 2) if does == "slow" else 0.0)


def _fault_of_process(rng: random.Random, aims: Sequence[str]) -> AimedFault:
    does = rng.choice(("kill", "kill", "power loss", "suspend", "deploy"))
    for_s = rng.choice((0.05, 0.5, 5.0, 20.0)) if does != "suspend" else rng.choice((0.5, 20.0, 150.0, 1500.0))
    match rng.choice(("step", "commit", "aim", "aim")):
        case "step":
            return AimedFault("step", rng.randint(50, 1500), does, for_s)
        case "commit":
            return AimedFault(rng.choice(("before commit", "after commit")), rng.randint(2, 60), does, for_s)
        case _:
            return AimedFault(rng.choice(aims), rng.choice((1, 1, 2, 3, 5)), does, for_s)
