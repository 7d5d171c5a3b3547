"""The storages of tests: those that are built in, and those of linqbot-postgres, without loading plugins."""

from __future__ import annotations

from functools import partial

from linqbot_postgres import PostgresBackend

from linqbot.storage import open as built_in

BACKENDS = built_in.register_storage() | {"postgresql": PostgresBackend()}
"""The backend of each URL scheme."""

open_storage = partial(built_in.open_storage, backends=BACKENDS)
