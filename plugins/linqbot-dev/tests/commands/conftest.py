"""Fixtures of the tests of commands, for the commands of this package."""

from pathlib import Path

import pytest
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_starting(items, Path(__file__).parent)
