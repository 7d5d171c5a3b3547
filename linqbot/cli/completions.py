"""What a shell may complete where a command takes a word of linqbot's or Linq's. Never fails: no words, then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem


def bot_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files; the shell finds them itself."""
    return [CompletionItem(incomplete, type="file")]


def event_types(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Linq's event types, with what each tells."""
    from linqbot.events.parse import EVENT_TYPES

    return _starting(incomplete, ((name, _about(kind)) for name, kind in EVENT_TYPES.items()))


def effects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Screen and bubble effects."""
    from linqbot.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS

    named = ((name, kind) for kind, names in (("screen", SCREEN_EFFECTS), ("bubble", BUBBLE_EFFECTS)) for name in names)
    return _starting(incomplete, sorted(named))


def codes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Everything `linqbot explain` knows."""
    from linqbot.ops.explanations import everything, of_linq, of_rules

    # Ours are in many rooms, so who means Linq's should not wait for them.
    known = everything() if "LQB".startswith(incomplete.upper()[:3]) else {**of_linq(), **of_rules()}
    return _starting(incomplete.upper(), ((each.code, each.summary) for each in known.values()))


def waiting(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of deliveries that wait or gave up, of the storage the settings name."""
    return _starting(incomplete, _deliveries(ctx.params.get("storage"), is_dead=None))


def dead(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of dead letters."""
    return _starting(incomplete, _deliveries(ctx.params.get("storage"), is_dead=True))


def _deliveries(url: str | None, *, is_dead: bool | None) -> list[tuple[str, str]]:
    import asyncio

    from linqbot.cli.storage_option import open_configured_storage

    async def found() -> list[tuple[str, str]]:
        async with open_configured_storage(url) as inbox:
            rows = [(each.delivery.id, f"dead {each.delivery.type}") for each in await inbox.dead_letters(limit=100)]
            if is_dead is None:
                rows += [(each.id, f"{each.state} {each.type}") for each in await inbox.waiting(limit=100)]
            return rows

    # In the middle of a command line nobody wants to read why there is nothing to complete.
    with contextlib.suppress(Exception):
        return asyncio.run(found())
    return []


def _starting(incomplete: str, words: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    return [CompletionItem(word, help=about) for word, about in words if word.startswith(incomplete)]


def _about(kind: type) -> str:
    return (kind.__doc__ or "").partition("\n")[0].replace("`", "")
