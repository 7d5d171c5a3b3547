"""Fixtures of the tests of `linqbot judge`: the command, run as a user does."""

from cli.conftest import (  # noqa: F401 - pytest finds them here
    account,
    command,
    command_folder,
    emulator,
    mark_starting,
    no_plugins_of_the_workspace,
    port,
    postgres_plugin,
    practice,
    program,
)
