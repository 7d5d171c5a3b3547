"""The settings, the roles and the time to stop that the files of `deploy/` give to the processes of a bot."""

from __future__ import annotations

from typing import Any, Final

import click

from linqbot.cli.main import main
from linqbot.settings import Settings, variable

POSTGRES_MAX_CONNECTIONS: Final = 100
"""PostgreSQL's default; 3 of them are for its owner."""


STOP_S: Final = Settings.model_fields["drain_s"].default + 5 + 10
"""Seconds that a process may take to stop: its drain, its open requests, and some to spare."""


def role_of(arguments: list[str]) -> str | None:
    """Return the role that a command line of linqbot asks for, as linqbot itself reads it."""
    name, *rest = arguments
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command.make_context(name, rest).params["role"]  # type: ignore[no-any-return]


def is_closed(service: dict[str, Any]) -> None:
    """Check that a container of a bot has no port and few rights, settings without a secret, and the time to stop."""
    assert "ports" not in service
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_S
    settings_of(service["environment"])


def settings_of(environ: dict[str, str]) -> None:
    """Check that variables are settings of linqbot, and that none is a secret."""
    assert set(environ) <= {variable(name) for name in Settings.model_fields}, environ
    assert set(environ) & {"LINQ_API_V3_API_KEY", "LINQ_WEBHOOK_SECRET"} == set()
