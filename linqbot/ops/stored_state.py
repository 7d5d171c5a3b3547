"""The state that a bot has stored, for operators: find values, and check and write an edited one."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from linqbot.bot.conversation.state import BOT, CHAT, PERSON
from linqbot.errors import StorageError
from linqbot.nearest import nearest_name
from linqbot.storage.state import StateRow, StateStore, StateWrite


def scope_of(who: str) -> str:
    """Return the scope of a handle, of the id of a chat, or of `bot`. A scope is returned as it is.

    Raises:
        ValueError: this is empty, or a number without its country code.
    """
    who = who.strip()
    if not who:
        raise ValueError("It is empty. Write a handle, the id of a chat, or bot.")
    if who == BOT or who.startswith((PERSON, CHAT)):
        return who.casefold() if who.startswith(PERSON) else who
    if re.fullmatch(r"[\d\s().-]+", who):
        raise ValueError(f"{who} is not a handle. Write a phone number with its country code: +1….")
    if who.startswith("+") or "@" in who:
        return PERSON + who.casefold()
    return CHAT + who


async def rows(store: StateStore, scope: str | None, name: str | None) -> AsyncIterator[StateRow]:
    """Yield the stored values of a scope, or of all scopes.

    Args:
        name: Only values of this name.
    """
    after = ("", "")
    while page := await store.state_rows(prefix=scope or "", name=name, after=after):
        for row in page:
            # The id of a chat may begin with the id of another one.
            if scope in (None, row.scope):
                yield row
        after = page[-1].scope, page[-1].name


async def found(store: StateStore, scope: str, name: str) -> bytes:
    """Return one stored value.

    Raises:
        StorageError: there is none of this name. The message names those that there are.
    """
    values = await store.load(scope)
    if name in values:
        return values[name]
    near = nearest_name(name, values)
    hint = f"Did you mean {near}?" if near else f"There is: {', '.join(sorted(values)) or 'nothing'}."
    raise StorageError(f"No state {name} is stored there. {hint} To store a new value, add --create.")


async def replace(store: StateStore, scope: str, name: str, *, before: bytes | None, after: str) -> bool:
    """Store an edited value, and return False if it is the same as before.

    Args:
        before: The value that was edited; None if there was none.
        after: JSON text.
    Raises:
        ValueError: `after` is not a JSON object; or it is not a list where `before` is one.
        StateConflict: the value was changed while it was edited; nothing was written.
    """
    # Only a pydantic.RootModel is stored as a list, and what is stored tells that it is one.
    kind: type = list if before is not None and isinstance(decoded(before), list) else dict
    value = compact(after, kind)
    if before is not None and value == compact(before.decode(), kind):
        return False
    await store.write_state([StateWrite(scope, name, value, expected=before)])
    return True


def compact(text: str, kind: type = dict) -> bytes:
    """Return a JSON object, or a list if `kind` is list, without white space.

    Raises:
        ValueError: the text is not of that kind.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
    if not isinstance(value, kind):
        must_be = "a JSON object: it must begin with { and end with }" if kind is dict else "a JSON list, as before"
        raise ValueError(f"This is not {must_be}.")  # noqa: TRY004 - wrong input
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def decoded(value: bytes) -> Any:
    """Return a stored value as Python data; as text if it is not JSON."""
    try:
        return json.loads(value)
    except ValueError:
        return value.decode("utf-8", "replace")
