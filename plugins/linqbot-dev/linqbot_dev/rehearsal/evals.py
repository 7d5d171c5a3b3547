"""The cases of `linqbot rehearse --evals file.yaml`: read, judged, and compared with the last run.

A case is a persona, repeated. A run passes if it breaks no rule and the judge, a function of the author, finds each criterion
met. The last run of each case is in `file.last.json`, next to the file.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from linqbot.errors import ConfigError
from linqbot.installing import install_command
from linqbot.nearest import suggestion
from linqbot.text_files import written_text
from linqbot_dev.rehearsal.report import PersonResult, Report
from linqbot_dev.testing.people.checks import Judgement, Violation, shown
from linqbot_dev.testing.people.persona import Persona, PersonAct
from linqbot_dev.testing.phone import Service

Judge: TypeAlias = Callable[[str, str], Awaitable[Judgement]]
"""Takes a conversation as `Dialogue.text` and a criterion."""

AT_ONCE: Final = 4
"""The conversations, and the questions to the judge, at the same time: what a limit of cost may be exceeded by."""

_KEYS: Final = ("say", "correct", "tap", "decide", "vote", "pay", "locate", "pause", "inject")
ACTS: Final[Mapping[str, type[PersonAct]]] = dict(zip(_KEYS, get_args(PersonAct), strict=True))
"""By the key in the file: the act. The value of the key is its first argument; the other keys are its other arguments."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EvalCase(_Body):
    """A case: what a person says, or a persona of the file given by `--personas`; and what must be true of the answers."""

    name: Annotated[str, Field(min_length=1)]
    says: list[Any] = []
    persona: str | None = None
    criteria: list[str] = []
    service: Service = "iMessage"
    in_group: bool = False


class Evals(_Body):
    """A file of cases.

    Attributes:
        judge: `module:function`, of a module in the folder of the file; see `Judge`.
        repeat: The number of runs of each case.
        pass_rate: The part of the runs that must pass.
        max_requests, max_usd: Limits for the models of the bot and the judge. Once one is reached, no person writes more.
        usd_per_million_tokens: The prices of input and output, for responses that do not name their cost.
    """

    cases: Annotated[list[EvalCase], Field(min_length=1)]
    judge: str | None = None
    repeat: Annotated[int, Field(ge=1)] = 1
    pass_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_requests: Annotated[int, Field(ge=1)] | None = None
    max_usd: Annotated[float, Field(gt=0)] | None = None
    usd_per_million_tokens: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Suite:
    """A file of cases that was read, and what its run has cost so far."""

    file: Path
    evals: Evals
    judge: Judge | None
    judged: int = 0  # the requests to the judge
    judged_usd: float = 0.0

    def people(self, personas: Callable[[], Sequence[Persona]]) -> list[Persona]:
        """Return the person of each run: those of the case `menu` are named `menu 1`, `menu 2`, …"""
        return [
            replace(self._persona(case, personas), name=f"{case.name} {number}")
            for case in self.evals.cases
            for number in range(1, self.evals.repeat + 1)
        ]

    def _persona(self, case: EvalCase, personas: Callable[[], Sequence[Persona]]) -> Persona:
        if case.persona is None:
            acts = [self._act(case, item) for item in case.says]
            return Persona(case.name, acts, service=case.service, in_group=case.in_group)
        found = {one.name: one for one in personas()}  # read again for each run: an iterator is used up by one
        if case.persona not in found:
            raise self.wrong(f"case {case.name!r}: no persona {case.persona!r}. {suggestion(case.persona, found)}")
        return found[case.persona]

    def _act(self, case: EvalCase, item: object) -> PersonAct:
        given = {"say": item} if isinstance(item, str) else item
        if not isinstance(given, dict) or (kind := ACTS.get(str(next(iter(given), "")))) is None:
            hint = f'Write a text in quotes, such as "yes", or one of {", ".join(ACTS)} first: tap: love'
            raise self.wrong(f"case {case.name!r}: {item!r} is no act. {hint}")
        first, *rest = given.items()
        names = [each.name for each in fields(kind)]
        values = dict(rest) if first[1] is None else {names[0]: first[1], **dict(rest)}
        if unknown := [name for name in values if name not in names]:
            raise self.wrong(
                f"case {case.name!r}: {first[0]} has no {unknown[0]}. {suggestion(str(unknown[0]), names)}"
            )
        try:
            act: PersonAct = TypeAdapter(kind).validate_python(values)
        except ValidationError as error:
            raise self.wrong(f"case {case.name!r}: {item!r}: {_first(error)}") from None
        return act

    def wrong(self, what: str) -> ConfigError:
        return ConfigError(f"{self.file}: {what}")

    # Cost

    def usd_of(self, requests: Sequence[Mapping[str, Any]]) -> float:
        given, taken = self.evals.usd_per_million_tokens
        usd = 0.0
        for each in requests:
            by_tokens = (each.get("input_tokens", 0) * given + each.get("output_tokens", 0) * taken) / 1e6
            usd += each.get("cost", by_tokens)
        return usd

    def limit_reached(self, requests: Sequence[Mapping[str, Any]]) -> str | None:
        """Return the limit that the requests of the bot and the judge have reached; None if there is room for more."""
        evals = self.evals
        if evals.max_requests is not None and len(requests) + self.judged >= evals.max_requests:
            return f"{evals.max_requests} requests"
        if evals.max_usd is not None and self.usd_of(requests) + self.judged_usd >= evals.max_usd:
            return f"${evals.max_usd:g}"
        return None

    # Results

    async def results(self, report: Report) -> Report:
        """Return the report with what the judge found, and with the result of each case."""
        cases = {one.name: one for one in self.evals.cases}
        at_once = asyncio.Semaphore(AT_ONCE)
        every = [request for one in report.people for request in one.requests]

        async def judged(one: PersonResult) -> PersonResult:
            if one.kind not in cases or not one.is_finished:
                return one
            criteria = cases[one.kind].criteria
            if report.was_interrupted:
                return replace(one, is_finished=not criteria)
            async with at_once:
                return await self._judged(one, criteria, every)

        before = self.before()
        people = await asyncio.gather(*map(judged, report.people))
        found = {name: self._result([one for one in people if one.kind == name]) for name in cases}
        spent = {
            "requests": len(every),
            "input_tokens": sum(each.get("input_tokens", 0) for each in every),
            "output_tokens": sum(each.get("output_tokens", 0) for each in every),
            "usd": round(self.usd_of(every), 6),
            "requests_of_judge": self.judged,
            "usd_of_judge": round(self.judged_usd, 6),
        }
        finished = {name: one for name, one in found.items() if not one["unfinished"]}
        self._last.write_text(json.dumps(before | finished, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        compared = {name: one | self._compared(one, before.get(name)) for name, one in found.items()}
        return replace(report, people=people, cases=compared, spent=spent, limit=self.limit_reached(every))

    async def _judged(
        self, one: PersonResult, criteria: Sequence[str], requests: Sequence[Mapping[str, Any]]
    ) -> PersonResult:
        found: list[Violation] = []
        for criterion in criteria:
            if self.judge is None or self.limit_reached(requests):
                return replace(one, is_finished=False)
            self.judged += 1
            try:
                verdict = await self.judge(one.transcript, criterion)
            except Exception as error:  # noqa: BLE001 - it is a function of the author
                return replace(one, stopped=f"the judge raised {type(error).__name__}: {error}", is_finished=False)
            self.judged_usd += verdict.usd
            if not verdict.passed:
                about = shown(one.transcript.rpartition("me: ")[2].partition("\n")[0])
                found.append(Violation("criterion", one.name, about, criterion, verdict.reason))
        return replace(one, violations=[*one.violations, *found])

    def _result(self, people: Sequence[PersonResult]) -> dict[str, Any]:
        """Return the result of a case, as it is kept for the next time."""
        requests = [request for one in people for request in one.requests]
        return {
            "runs": len(people),
            "passed": sum(one.is_finished and not one.violations and not one.stopped for one in people),
            "unfinished": sum(not one.is_finished for one in people),
            "seconds": round(sum(one.took_s for one in people), 1),
            "requests": len(requests),
            "usd": round(self.usd_of(requests), 6),
        }

    def _compared(self, result: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return if a case is good, and if fewer of its runs passed than the last time."""
        is_good = is_worse = False
        if not result["unfinished"]:
            is_good = result["passed"] >= self.evals.pass_rate * result["runs"]
            is_worse = before is not None and result["passed"] / result["runs"] < before["passed"] / before["runs"]
        return {"good": is_good, "worse": is_worse, "before": before}

    @property
    def _last(self) -> Path:
        return self.file.with_suffix(".last.json")

    def before(self) -> dict[str, dict[str, Any]]:
        """Return the results of the last run by case. Raises ConfigError if the file has been damaged."""
        try:
            found: dict[str, dict[str, Any]] = json.loads(self._last.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ConfigError(
                f"{self._last} is no JSON ({error}). Delete it: it has the results of the last run."
            ) from error
        return found


def load(file: Path) -> Suite:
    """Read a file of cases. Raises ConfigError if it does not fit, or if the judge cannot be imported."""
    try:
        import yaml
    except ImportError as error:
        raise ConfigError(
            f"linqbot rehearse --evals needs a further package. Install it: {install_command('pyyaml')}"
        ) from error
    try:
        evals = Evals.model_validate(yaml.safe_load(written_text(file)) or {})
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no YAML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{file}: {_first(error)}") from None
    suite = Suite(file, evals, None)
    suite.before()
    for case in evals.cases:
        if case.criteria and evals.judge is None:
            raise suite.wrong(
                f'case {case.name!r} has criteria, and there is no judge. Add, such as: judge: "judges:grade"'
            )
        if bool(case.says) is (case.persona is not None):
            raise suite.wrong(f"case {case.name!r} needs one of says and persona.")
    if evals.judge is not None:
        suite.judge = _judge(file.parent, evals.judge, suite)
    return suite


def _judge(folder: Path, spec: str, suite: Suite) -> Judge:
    module, _, name = spec.partition(":")
    sys.path.insert(0, str(folder.resolve()))
    try:
        found: Judge | None = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise suite.wrong(f"judge: {spec!r} cannot be imported: {error}") from error
    if not callable(found):
        raise suite.wrong(f"judge: the module {module} has no function {name!r}. Write module:function.")
    return found


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    said = first["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), said)))
