"""The event types as the shell completes them.

`advice_on` helps with an event type that linqbot does not know: it names the nearest type, or the list of all types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from linqbot.nearest import nearest_name

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def event_types(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from linqbot.linq.events.parse import EVENT_TYPES

    about = {name: (kind.__doc__ or "").partition("\n")[0].replace("`", "") for name, kind in EVENT_TYPES.items()}
    return [CompletionItem(name, help=text) for name, text in about.items() if name.startswith(incomplete)]


def advice_on(unknown: str) -> str:
    # Imported here, so that shell completion and --help do not wait for the events to be imported.
    from linqbot.linq.events.parse import EVENT_TYPES

    near = nearest_name(unknown, EVENT_TYPES)
    return f"Did you mean {near}?" if near else "See: linqbot trigger --list"
