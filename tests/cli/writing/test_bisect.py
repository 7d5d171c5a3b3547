from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from linqbot.ops.dry_runs.simulate import minimal_breaking_set

pytestmark = pytest.mark.anyio

NAMES = [f"p{n}" for n in range(6)]


def breaking(*together: str) -> tuple[list[Sequence[str]], object]:
    tries: list[Sequence[str]] = []

    async def breaks(names: Sequence[str]) -> bool:
        tries.append(names)
        return set(together) <= set(names)

    return tries, breaks


async def test_the_plugins_that_break_only_together_are_found(subtests: pytest.Subtests) -> None:
    for together in (*itertools.combinations(NAMES, 1), *itertools.combinations(NAMES, 2), ("p0", "p3", "p5")):
        with subtests.test(together=together):
            tries, breaks = breaking(*together)
            assert await minimal_breaking_set(NAMES, breaks) == list(together)  # type: ignore[arg-type]
            assert len(tries) <= len(NAMES)


async def test_a_single_plugin_is_not_simulated() -> None:
    tries, breaks = breaking("p0")
    assert await minimal_breaking_set(["p0"], breaks) == ["p0"]  # type: ignore[arg-type]
    assert tries == []
