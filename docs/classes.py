"""The pages of classes/: the classes that a bot's author uses, from their signatures and docstrings.

`generate.py` writes the pages.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cached_property
from importlib import import_module
from types import UnionType
from typing import Any, get_args

from linqbot.linq.events.parse import EVENT_TYPES
from pydantic import BaseModel

from generate import prose, signature

PARTS = ("TextPart", "MediaPart", "Fetched", "Saved", "LinkPart", "AppPart", "AppIdentity", "AppClipPart", "Experience")
PARTS += (
    "TextDecoration",
    "Mention",
    "InlineSticker",
    "Effect",
    "ReplyTo",
    "MessageContent",
    "Message",
    "Chat",
    "Handle",
)
FILTERS = ("contains", "exact", "regex", "from_handle", "to_line", "in_direct", "in_group", "muted")
FILTERS += ("mentions_bot", "replies_to_bot", "has_media", "has_link")
BASES = ("GroupChange", "LocationSharing", "MessageReceipt", "PaymentEvent", "PollVote", "TypingEvent")
"""The bases of several event classes, for handlers that take all of them."""
PAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "text": ("Text", "linqbot", ("markdown", "link", "StyledText", "Sendable")),
    "content": (
        "Files, polls and cards",
        "linqbot",
        (
            "media",
            "sticker",
            "voice_memo",
            "poll",
            "contact_card",
            "location_request",
            "app_card",
            "Card",
            "Preview",
            "Form",
            "PreviewMessage",
            "Capabilities",
        ),
    ),
    "bot": (
        "Bot, Router, Manners, Failure, Resource and Running",
        "linqbot",
        ("Bot", "Router", "Manners", "Failure", "Resource", "Running", "AllowFile"),
    ),
    "context": (
        "Context, Sent, Scheduled and Broadcast",
        "linqbot",
        ("Context", "ChatContext", "Sent", "Scheduled", "Broadcast", "Recipient", "AskedBefore"),
    ),
    "results": (
        "Results of waits",
        "linqbot",
        ("Paid", "Declined", "Expired", "Location", "VoteResult"),
    ),
    "remembering": (
        "State, history and steps of a model",
        "linqbot",
        ("State", "Tally", "History", "HistoryEntry", "Draft", "ModelStep"),
    ),
    "parse": (
        "Parsers",
        "linqbot.parse",
        ("number", "yes_no", "duration", "day", "date_time", "recurrence", "Recurrence"),
    ),
    "language": (
        "Languages",
        "linqbot.language",
        ("written", "sentences", "Sentences", "speaking", "in_language", "ENGLISH", "CODES"),
    ),
    "filters": (
        "Filters, opening hours and ready-made middleware",
        "linqbot",
        (*FILTERS, "Hours", "limit_per_person", "texts_in_log"),
    ),
    "parts": ("Messages and their parts", "linqbot", PARTS),
    "events": (
        "Events",
        "linqbot.events",
        (
            "Event",
            *sorted({cls.__name__ for cls in EVENT_TYPES.values()} | set(BASES)),
            "BroadcastDone",
            "Posted",
            "ScheduleDue",
            "UnknownEvent",
        ),
    ),
    "calls": ("Calls to Linq", "linqbot.client.call", ("Call", "ApiResponse")),
    "deliveries": ("Deliveries", "linqbot.linq.events.delivery", ("Delivery", "Joined")),
    "testing": (
        "Testing",
        "linqbot.testing",
        (
            "talking",
            "killed_between_calls",
            "PhoneFor",
            "Phone",
            "Bubble",
            "Tapback",
            "DeclaredWorld",
            "Contact",
            "GroupChat",
            "AccountLine",
            "ApiCall",
            "HandlerFailed",
            "NothingCame",
        ),
    ),
    "people": (
        "Simulated people",
        "linqbot.testing.people",
        (
            "rehearse",
            "crowd",
            "Persona",
            "Dialogue",
            "Say",
            "Correct",
            "Tap",
            "Decide",
            "VoteFor",
            "PayRequest",
            "Locate",
            "Pause",
            "Inject",
            "Violation",
            "Judgement",
        ),
    ),
    "ledger": ("A fake outside system", "linqbot.testing.ledger", ("Ledger", "LedgerEntry")),
}
"""By file name: the page's title, the package to import from, and the names in the order of the page."""

_LISTED = {name: page for page, (_, _, names) in PAGES.items() for name in names}
"""The page of each name."""


def pages() -> dict[str, str]:
    """Return the text of each page, by its file name."""
    return {f"{name}.md": _page(*PAGES[name]) for name in PAGES} | {"index.md": _index()}


def _index() -> str:
    lines = ["# Classes", "", "The names that a bot or a plugin uses, and where to import them from.", ""]
    lines += ["| page | import from | names |", "| --- | --- | --- |"]
    for file, (title, package, names) in PAGES.items():
        shown = names if len(names) < 20 else (*names[:3], "…")
        lines.append(f"| [{title}]({file}.md) | `{package}` | {', '.join(f'`{name}`' for name in shown)} |")
    return "\n".join([*lines, ""])


def _page(title: str, package: str, names: tuple[str, ...]) -> str:
    module = import_module(package)
    listed = [getattr(module, name) for name in names]
    bases = _unlisted_bases(listed)
    lines = [f"# {title}", "", f"All of these are imported from `{package}`.", ""]
    if bases:
        lines[-2] += " What several of them share is at the end, under the name of their base, which is not imported."
    for name, value in zip(names, listed, strict=True):
        lines += _entry(name, value)
    for base in bases:
        lines += _entry(base.__name__, base)
    return re.sub(r"\n\n\n+", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _unlisted_bases(listed: list[Any]) -> list[type[Any]]:
    """Return the bases of data that are on no page of their own, by name: a reader looks for what they define."""
    found = {
        base
        for value in listed
        if inspect.isclass(value) and issubclass(value, BaseModel)
        for base in value.__mro__[1:]
        if base.__module__.startswith("linqbot.") and base.__name__ not in {*_LISTED, "Data"}
    }
    return sorted(found, key=lambda base: base.__name__)


def _entry(name: str, value: Any) -> Iterator[str]:
    yield from (f"## {name}", "")
    if inspect.isclass(value):
        yield from _class(name, value)
    elif isinstance(value, UnionType):
        kinds = ", ".join(f"`{each.__name__}`" for each in get_args(value))
        yield from (f"The type of what `ctx.reply` takes and a handler may return: {kinds}.", "")
    else:
        if inspect.isfunction(value):
            yield from _code(signature(name, value))
        yield from (*prose(inspect.getdoc(value) or ""), "")


def _class(name: str, cls: type[Any]) -> Iterator[str]:
    if issubclass(cls, BaseModel):
        bases = [base.__name__ for base in cls.__bases__ if base.__name__ not in {"Data", "BaseModel"}]
        yield from (f"A kind of {' and '.join(map(_linked, bases))}.", "") if bases else ()
        yield from (*prose(inspect.getdoc(cls) or ""), "")
        yield from _fields(cls)
    else:
        if "__init__" in vars(cls) and not is_dataclass(cls) and not issubclass(cls, BaseException | str):
            yield from _code(signature(name, cls.__init__))
        yield from (*prose(inspect.getdoc(cls) or ""), "")
    for method_name, found in _members(cls):
        member = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        if method_name.startswith("_") or not (
            inspect.isfunction(member) or isinstance(member, property | cached_property)
        ):
            continue
        if not (doc := inspect.getdoc(member)):
            continue
        yield from (f"### {name}.{method_name}", "")
        if inspect.isfunction(member):
            yield from _code(signature(method_name, member))
        yield from (*prose(doc), "")


def _linked(name: str) -> str:
    page = _LISTED.get(name)
    return f"[`{name}`]({f'{page}.md' if page else ''}#{name.lower()})"


def _members(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the members of a class, then those of its bases that are on no page, such as those of Router's base."""
    yield from vars(cls).items()
    if issubclass(cls, BaseModel) or any(base.__name__ in _LISTED for base in cls.__mro__[1:]):
        return
    seen = {*vars(cls)}
    for base in cls.__mro__[1:]:
        if base.__module__.startswith("linqbot."):
            yield from ((name, member) for name, member in vars(base).items() if name not in seen)
            seen.update(vars(base))


def _fields(cls: type[BaseModel]) -> Iterator[str]:
    own = [field for field in cls.model_fields if field in inspect.get_annotations(cls)]
    if own:
        yield from ("| field | type |", "| --- | --- |")
        for field in own:
            shown = str(inspect.get_annotations(cls)[field]).replace("|", "\\|")
            yield f"| `{field}` | `{shown}` |"
        yield ""


def _code(text: str) -> Iterator[str]:
    yield from ("```python", text, "```", "")
