"""The markers by which pluggy knows linqbot's hooks: `hookspecs.py` marks their specifications, plugins their implementations."""

from __future__ import annotations

from typing import Final

import pluggy

GROUP: Final = "linqbot"
"""Name of the entry-point group, and of the project whose hooks pluggy marks."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
