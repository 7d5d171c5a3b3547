"""The fixture of the tests that run turns one after the other, over a real file."""

from __future__ import annotations

from features.conftest import talk

__all__ = ["talk"]
