"""Subtests of which only those that fail are reported: to report one takes a millisecond, and thousands of rows pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class FailingRows:
    """Stands for pytest's `subtests`."""

    def __init__(self, reported: pytest.Subtests) -> None:
        self._reported = reported

    @contextmanager
    def test(self, msg: str | None = None, **row: Any) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with self._reported.test(msg, **row):
                raise


@pytest.fixture
def subtests(subtests: pytest.Subtests) -> FailingRows:
    return FailingRows(subtests)
