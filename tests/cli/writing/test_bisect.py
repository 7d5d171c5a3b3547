from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from linqbot.ops.dry_runs.simulate import minimal_breaking_set

pytestmark = pytest.mark.anyio

NAMES = [f"p{n}" for n in range(16)]


def breaking(*together: str) -> tuple[list[Sequence[str]], object]:
    tries: list[Sequence[str]] = []

    async def breaks(names: Sequence[str]) -> bool:
        tries.append(names)
        return set(together) <= set(names)

    return tries, breaks


async def test_one_plugin_is_found_by_halving(subtests: pytest.Subtests) -> None:
    for name in NAMES:
        with subtests.test(name=name):
            tries, breaks = breaking(name)
            assert await minimal_breaking_set(NAMES, breaks) == [name]  # type: ignore[arg-type]
            assert len(tries) <= 8


async def test_a_pair_of_plugins_is_found(subtests: pytest.Subtests) -> None:
    for pair in list(itertools.combinations(NAMES[::3], 2)):
        with subtests.test(pair=pair):
            _, breaks = breaking(*pair)
            assert await minimal_breaking_set(NAMES, breaks) == list(pair)  # type: ignore[arg-type]


async def test_three_plugins_that_break_only_together_are_found() -> None:
    _, breaks = breaking("p0", "p7", "p15")
    assert await minimal_breaking_set(NAMES, breaks) == ["p0", "p7", "p15"]  # type: ignore[arg-type]


async def test_a_single_plugin_is_not_simulated() -> None:
    tries, breaks = breaking("p0")
    assert await minimal_breaking_set(["p0"], breaks) == ["p0"]  # type: ignore[arg-type]
    assert tries == []
