"""The contents of a storage for operators: check, migrate and copy a whole storage, find and edit values of `ctx.state`.

An edited value is checked before it is written. The backends read and write the rows (`storage/contents.py`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from linqbot.errors import ConfigError, StorageError, StorageUnavailable
from linqbot.nearest import nearest_name
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage, StorageBackend
from linqbot.storage.contents import TABLES, Digest, SchemaState
from linqbot.storage.open import backend_of
from linqbot.storage.state import StateWrite
from linqbot.storage.upkeep import Progress

COPIES_ARE_LEFT: Final = (
    "Copies of deleted rows may be left in the free space of the file, until new rows take it or the file is written again: "
    "linqbot storage purge --compact."
)

Backends: TypeAlias = Mapping[str, StorageBackend]
"""The backend of each URL scheme, as `Settings.backends_for` returns them."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    schema: SchemaState
    digest: Digest | None  # None if the rows could not be read: the schema is not the newest, or the file is damaged
    problems: tuple[str, ...]  # A sentence each; empty if the storage is in order


@dataclass(frozen=True, slots=True)
class Copied:
    source: str
    target: str
    digest: Digest  # the content of both storages
    seconds: float


async def check(url: str, backends: Backends, progress: Progress = lambda _, __: None) -> CheckReport:
    """Check the schema of a storage, and read all its rows. Nothing is written, and a server may go on meanwhile.

    Raises:
        ConfigError: the URL is not one of a storage that can be checked.
        StorageError: there is no storage, or a newer linqbot has written its schema.
        StorageUnavailable: it cannot be read.
    """
    backend = backend_of(url, backends)
    schema = await backend.contents(url).schema()
    if not schema.have:
        raise StorageError(f"There is no storage {schema.name}. Check LINQBOT_STORAGE, or --storage.")
    if schema.have != schema.newest:
        old = (
            f"Schema {schema.have} is older than {schema.newest}, which this linqbot works with. linqbot storage migrate "
            "brings it up to date, as the next start of linqbot serve does."
        )
        return CheckReport(schema, None, (old,))
    async with backend.contents(url) as contents:
        problems = tuple(await contents.problems())
        try:
            total = sum((await contents.counts()).values())
            digest = await contents.digest(lambda done: progress(done, total))
        except StorageUnavailable:
            if not problems:
                raise
            return CheckReport(schema, None, problems)
        return CheckReport(schema, digest, problems)


async def migrate(url: str, backends: Backends) -> SchemaState:
    """Bring the schema of a storage up to date, and return the state that it had. A missing storage is created."""
    contents = backend_of(url, backends).contents(url, "migrate")
    before = await contents.schema()
    async with contents:
        return before


async def copy(source_url: str, target_url: str, backends: Backends, progress: Progress = lambda _, __: None) -> Copied:
    """Copy a storage into an empty one, and compare the digests of both. Either all rows are copied or none.

    Raises:
        ConfigError: one of the URLs cannot be used, or there is no source.
        StorageError: a process serves one of the storages, the source has an old schema, the target holds rows, or the
            digests differ.
        StorageUnavailable: one of the storages cannot be read or written.
    """
    started = time.monotonic()
    of_source, of_target = backend_of(source_url, backends), backend_of(target_url, backends)
    states = [await of_source.contents(source_url).schema(), await of_target.contents(target_url).schema()]
    states[0].require_current()
    if states[0].name == states[1].name:
        raise ConfigError(f"Both URLs name the same storage, {states[0].name}. Name another one to copy to.")
    for state in states:
        if state.serving:
            raise StorageError(
                f"A process serves {state.name}. Stop the process first: what it stores during a copy would be missing from "
                "the copy."
            )
    async with of_source.contents(source_url, "source") as source, of_target.contents(target_url, "target") as target:
        # All rows are read twice: from the source, which writes the target, and from the target.
        count = sum((await source.counts()).values())
        async with target.filling(source.name):
            digest = await source.digest(lambda done: progress(done, count * 2), to=target)
            written = await target.digest(lambda done: progress(count + done, count * 2))
            if differing := [table for table in TABLES if written.hashes[table] != digest.hashes[table]]:
                raise StorageError(
                    f"{target.name} would differ from {source.name} in {', '.join(differing)}, so nothing was copied."
                )
        return Copied(source.name, target.name, digest, time.monotonic() - started)


async def found(store: Storage, scope: str, name: str) -> bytes:
    """Return one stored value; the error that there is none names those that there are."""
    values = await store.load(scope)
    if name in values:
        return values[name]
    near = nearest_name(name, values)
    hint = f"Did you mean {near}?" if near else f"There is: {', '.join(sorted(values)) or 'nothing'}."
    raise StorageError(f"No state {name} is stored there. {hint} To store a new value, add --create.")


async def replace_state(store: Storage, scope: str, name: str, *, before: bytes | None, after: str, by: By) -> bool:
    """Store an edited value, and return False if it is the same as before.

    Args:
        before: The value that was edited; None if there was none.
        after: JSON text.
        by: The operator, for the log.
    """
    # Only a pydantic.RootModel is stored as a list, and what is stored tells that it is one.
    kind: type = list if before is not None and isinstance(decoded(before), list) else dict
    value = compact(after, kind)
    if before is not None and value == compact(before.decode(), kind):
        return False
    await store.write_state([StateWrite(scope, name, value, expected=before)], by=by)
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
