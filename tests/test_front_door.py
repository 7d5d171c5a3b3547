from __future__ import annotations

import inspect

import linqbot


def test_the_front_door_lists_exactly_what_it_offers() -> None:
    public = {n for n, v in vars(linqbot).items() if not n.startswith("_") and not inspect.ismodule(v)}
    assert set(linqbot.__all__) == public
    assert linqbot.__all__ == sorted(linqbot.__all__)


def test_everything_at_the_front_door_is_explained() -> None:
    assert [name for name in linqbot.__all__ if not (getattr(linqbot, name).__doc__ or "").strip()] == []
