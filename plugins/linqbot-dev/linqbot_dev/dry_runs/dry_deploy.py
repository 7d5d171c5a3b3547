"""A dry deploy: run new code on the deliveries that were handled, and compare what it does with what was done.

Nothing is sent and nothing is stored. A difference need not come from the new code: state may have changed since, and an
answer may be random. So a run that differs is repeated: with the present code, if that is given, else with the new code and
without state. Only a difference that stays is put down to the new code. Turns that differ are grouped by cause: the same
kind of difference in the same handler.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path
from types import ModuleType
from typing import Final, Literal, TypeAlias, get_args

from linqbot.bot.bot import Bot
from linqbot.client.client import Client
from linqbot.ops.bot_file import load_bot
from linqbot.plugins.registry import Plugins
from linqbot.storage.upkeep import Progress
from linqbot_dev.dry_runs.dry_turn import RunFailure, RunResult
from linqbot_dev.dry_runs.recorded_turns import ChosenTurns, ComparedCall, RecordedTurn
from linqbot_dev.dry_runs.world import DryWorld

Kind: TypeAlias = Literal[
    "new failure", "different handler", "different answer", "fixed failure", "could not be compared", "same"
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""The kinds, the most important first."""

NEEDS_PRESENT: Final = " (a run of the present bot would tell)"
"""Ends a cause for which a comparison with the present bot is the way out."""

_WORDS: Final = {"chats.messages.send": "message", "messages.add_reaction": "reaction", "chats.polls.create": "poll"}


@dataclass(frozen=True, slots=True)
class Change:
    """A call that differs. `before` is None for a call that is new, `after` for one that is not made any more."""

    before: ComparedCall | None
    after: ComparedCall | None

    @property
    def call(self) -> ComparedCall:
        call = self.before or self.after
        assert call is not None
        return call


@dataclass(frozen=True, slots=True)
class Compared:
    delivery_id: str
    kind: Kind
    # What the difference is, or why there is no comparison. Turns of the same cause have the same text.
    cause: str
    before: RunResult  # the turn on record, or the run of the present code
    after: RunResult  # the run of the new code
    changes: Sequence[Change] = ()  # the calls that differ, in order
    is_against_present: bool = False  # True if `before` is a run of the present code, not the record

    @property
    def failure(self) -> RunFailure | None:
        return self.before.failure if self.kind == "fixed failure" else self.after.failure


MOST_EXAMPLES: Final = 3

_NUMBERS: Final = re.compile(r"[@#][\w.-]*")
"""The digests and numbers in the name of a step, which differ from turn to turn."""

_LOST: Final = "it answered a question of ctx.ask, and its question is not kept any more"

Loaded: TypeAlias = Callable[[], AbstractContextManager[Bot]]
"""Loads a bot for as long as it is used."""


@dataclass(slots=True)
class Group:
    """Turns of one kind, one cause and one handler."""

    count: int = 0
    examples: list[Compared] = field(default_factory=list)  # the first of them, at most `MOST_EXAMPLES`

    @property
    def kind(self) -> Kind:
        return self.examples[0].kind

    @property
    def cause(self) -> str:
        return self.examples[0].cause


@dataclass(slots=True)
class Report:
    """The result of a dry deploy.

    Attributes:
        groups: The turns that are not the same; the most important kind first, in it the largest group.
    """

    counts: Counter[Kind] = field(default_factory=Counter)  # the number of turns of each kind
    answers: int = 0  # the number of deliveries that went to an open question, and so belong to the turn that asked
    # The number of those that are the same because no handler takes them, now as then, such as typing indicators.
    untaken: int = 0
    # The number of turns that count as the same with a remark, by the remark.
    notes: Counter[str] = field(default_factory=Counter)
    has_start_handlers: bool = False  # True if the new bot has `@bot.on_start` functions, which do not run here
    has_stuck_code: bool = False  # True if code of a bot ignored its time limit, and may still run
    _groups: dict[tuple[str, str | None, str], Group] = field(default_factory=dict)

    def add(self, one: Compared) -> None:
        self.counts[one.kind] += 1
        if one.kind == "same":
            self.untaken += one.after.handler is None and one.after.is_silent
            if one.cause:
                self.notes[one.cause] += 1
            return
        group = self._groups.setdefault((one.kind, one.after.handler, one.cause), Group())
        group.count += 1
        if len(group.examples) < MOST_EXAMPLES:
            group.examples.append(one)

    @property
    def groups(self) -> list[Group]:
        return sorted(self._groups.values(), key=lambda group: (KINDS.index(group.kind), -group.count))

    @property
    def compared(self) -> int:
        return self.counts.total() - self.counts["could not be compared"]

    @property
    def failing(self) -> int:
        return self.counts["new failure"]

    @property
    def differing(self) -> int:
        return self.counts["different answer"] + self.counts["different handler"]


@contextmanager
def loaded(spec: str) -> Iterator[Bot]:
    """Load a bot, and forget the modules of its folder afterwards, so that another version of it imports its own."""
    path, before = list(sys.path), dict(sys.modules)
    bot = load_bot(spec)
    try:
        yield bot
    finally:
        new = {name: module for name, module in sys.modules.items() if before.get(name) is not module}
        for name in _modules_of(spec, new):
            del sys.modules[name]
        sys.path[:] = path


def _modules_of(spec: str, modules: Mapping[str, ModuleType]) -> list[str]:
    """Return the modules that are of the folder of a bot, without those of installed packages and of linqbot."""
    target = spec.partition(":")[0]
    root = Path(target).resolve().parent
    if not (target.endswith(".py") or "/" in target):
        root = Path(sys.modules[target.partition(".")[0]].__file__ or ".").resolve().parent
    # The bot may be in the home folder, which may also have Python itself and what `pip install --user` has installed.
    installed = [Path(sys.prefix).resolve(), Path(os.__file__).resolve().parent]
    files = {name: getattr(module, "__file__", None) for name, module in modules.items()}
    places = {name: Path(file).resolve() for name, file in files.items() if isinstance(file, str)}
    return [
        name
        for name, place in places.items()
        if place.is_relative_to(root)
        and "site-packages" not in place.parts
        and not any(place.is_relative_to(each) for each in installed)
        and name.partition(".")[0] != "linqbot"
    ]


async def dry_deploy(
    new: Loaded,
    chosen: ChosenTurns,
    client: Client,
    *,
    present: Loaded | None = None,
    handler: str | None = None,
    reads: bool = False,
    plugins: Callable[[Sequence[object]], Plugins],
    progress: Progress,
) -> Report:
    """Run a bot on the chosen turns, and compare.

    Args:
        new: Loads the new bot; see `loaded`.
        present: Loads the bot of now, which tells differences of the code from those of state and chance; None for none.
        handler: Only turns that this handler took or takes: the name of its function.
        reads: Let reads that the storage cannot answer through to Linq, as it is now.
        plugins: Loads the plugins of a bot.
        progress: Called with the number of turns that are done, and of all.
    """
    report = Report(answers=chosen.answers)

    def add(one: Compared) -> None:
        if handler is None or handler in (_function(one.after.handler), _function(one.before.handler)):
            report.add(one)

    @asynccontextmanager
    async def running(load: Loaded) -> AsyncIterator[DryWorld]:
        with load() as bot:
            world = DryWorld(bot, client, chosen.storage, plugins=plugins(bot.plugins), reads=reads)
            try:
                yield world
            finally:
                report.has_stuck_code = report.has_stuck_code or world.has_stuck_code
                await world.aclose()

    differing: dict[str, RunResult] = {}
    done = 0
    async with running(new) as world:
        report.has_start_handlers = world.has_start_handlers
        async for turn in chosen.turns(chosen.ids):
            progress(done := done + 1, len(chosen.ids))
            if turn.delivery.id in chosen.lost_answers:
                add(Compared(turn.delivery.id, "could not be compared", _LOST, on_record(turn), RunResult()))
                continue
            after = await world.run(turn)
            if after.is_answer:
                report.answers += 1
                continue
            first = compared(turn.delivery.id, on_record(turn), after)
            if present is None or first.kind in ("same", "fixed failure"):
                add(await explained(turn, first, world))
            else:
                differing[turn.delivery.id] = after
    if present is not None and differing:
        async with running(present) as world:
            async for turn in chosen.turns(list(differing)):
                add(await against_present(turn, differing[turn.delivery.id], world))
    return report


def on_record(turn: RecordedTurn) -> RunResult:
    if turn.dead is None:
        return RunResult(turn.calls, turn.later)
    raised = () if turn.dead.details is None else turn.dead.details.raised
    kind = raised[0].type if raised else ""  # a sentence of linqbot's own has none
    return RunResult(turn.calls, turn.later, turn.dead.handler, failure=RunFailure(kind, "", ""))


def compared(delivery_id: str, before: RunResult, after: RunResult) -> Compared:
    changes = tuple(_changes(before, after))
    kind, cause = _kind_and_cause(before, after, changes)
    return Compared(delivery_id, kind, cause, before, after, changes)


def _kind_and_cause(  # noqa: PLR0911 - one return for each kind
    before: RunResult, after: RunResult, changes: Sequence[Change]
) -> tuple[Kind, str]:
    then, now = before.failure, after.failure
    if now is not None and then is not None and then.kind in ("", now.kind):
        return "same", f"{now.kind} at {now.at}, as it failed then"
    if now is not None:
        return "new failure", f"{now.kind} at {now.at}" + (f", {then.kind} then" if then else "")
    if after.missing is not None:
        return _cut(before, after, changes)
    if then is not None:
        return "fixed failure", f"{then.kind or 'given up'} then, no error now"
    if not changes:
        if any(call.digest is None for call in before.calls):
            kept = "the content of its calls is not kept; their number and endpoints are the same"
            return "could not be compared", kept
        return "same", ""
    if before.handler is not None and _function(before.handler) != _function(after.handler):
        return "different handler", f"{_function(before.handler)} took it then, {_function(after.handler)} now"
    return "different answer", _cause(before, after, changes)


def _cut(before: RunResult, after: RunResult, changes: Sequence[Change]) -> tuple[Kind, str]:
    """Judge a run that ended at something that is not on record."""
    missing = f"not recorded: {_NUMBERS.sub('', after.missing or '')}"
    if changes:
        return "different answer", f"{_cause(before, after, changes)}; {missing}"
    if after.other_steps:
        names = ", ".join(repr(_NUMBERS.sub("", name)) for name in after.other_steps)
        return "different answer", f"takes other steps: {names} is not made now; {missing}"
    return "could not be compared", missing


async def explained(turn: RecordedTurn, first: Compared, world: DryWorld) -> Compared:
    """Find out if a difference may come from something else than the code, by running the new code again."""
    if first.kind not in ("different answer", "different handler"):
        return first
    after, why = first.after, None
    if not (await world.run(turn)).does_the_same(after):
        why = "two runs of the new code differ, such as by chance"
    elif after.past and not (await world.run(turn, without_past=True)).does_the_same(after):
        why = f"the result depends on {' and on '.join(after.past)}{NEEDS_PRESENT}"
    elif after.doubts:
        why = "; ".join(after.doubts)
    elif first.changes and all(each.before is None and each.call.is_later for each in first.changes):
        why = f"a send of ctx.send_later is not on record: it was cancelled since, or is new{NEEDS_PRESENT}"
    return first if why is None else replace(first, kind="could not be compared", cause=why)


async def against_present(turn: RecordedTurn, after: RunResult, present: DryWorld) -> Compared:
    """Compare a run that differs from the record with a run of the present code, under the same circumstances."""
    now, record = await present.run(turn), on_record(turn)
    is_as_recorded = now.missing is None and compared("", record, now).kind in ("same", "fixed failure")
    is_same_today = now.does_the_same(after)
    if is_as_recorded or (is_same_today and now.missing is not None):
        # The record stands, and the handler of then is known.
        return compared(turn.delivery.id, replace(record, handler=now.handler), after)
    result = compared(turn.delivery.id, now, after)
    if is_same_today:
        return replace(
            result, kind="same", cause="the present bot does the same today, which differs from what is on record"
        )
    if not (await present.run(turn)).does_the_same(now):
        chance = "two runs of the present bot differ, such as by chance"
        return replace(result, kind="could not be compared", cause=chance)
    return replace(result, is_against_present=True)


def _changes(before: RunResult, after: RunResult) -> Iterator[Change]:
    if after.missing is not None and after.begins_like(before):
        return  # what it would have done is not known
    yield from _differences(before.calls, after.calls)
    yield from _differences(_flat(before.later), _flat(after.later))


def _differences(old: Sequence[ComparedCall], new: Sequence[ComparedCall]) -> Iterator[Change]:
    if len(old) == len(new) and all(mine.is_like(its) for mine, its in zip(new, old, strict=True)):
        return
    a, b = ([(call.name, call.digest) for call in calls] for calls in (old, new))
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            yield from _paired(old[i:j], new[k:m])


def _paired(old: Sequence[ComparedCall], new: Sequence[ComparedCall]) -> Iterator[Change]:
    """Yield a piece that differs: calls of the same endpoint are two wordings of one."""
    left = list(new)
    for call in old:
        found = next((each for each in left if each.name == call.name), None)
        if found is not None:
            left.remove(found)
            if found.is_like(call):
                continue
        yield Change(call, found)
    for each in left:
        yield Change(None, each)


def _flat(later: Mapping[str, Sequence[ComparedCall]]) -> list[ComparedCall]:
    return [call for calls in later.values() for call in calls]


def _cause(before: RunResult, after: RunResult, changes: Sequence[Change]) -> str:
    """Describe a difference in words that are the same for all turns that differ in the same way."""
    if before.is_silent:
        return "it was silent then, and answers now"
    if after.is_silent:
        return "no handler takes it now" if after.handler is None else "it answered then, and is silent now"
    counts = Counter(_word(change) for change in changes)
    return ", ".join(what if count == 1 else f"{what} ({count} times)" for what, count in counts.items())


def _word(change: Change) -> str:
    call = change.call
    noun = "scheduled " * call.is_later + _WORDS.get(call.name, call.name)
    if change.after is None:
        return f"no {noun} any more"
    if change.before is None:
        return f"one {noun} more"
    if change.before.shown is None:
        return f"another {noun}, whose content of then is not kept"
    return f"other words in a {noun}" if noun.endswith("message") else f"another {noun}"


def _function(handler: str | None) -> str:
    """Return the name of a handler without its module, whose name is that of the file."""
    return "no handler" if handler is None else handler.rpartition(":")[2]
