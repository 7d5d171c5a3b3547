"""Fixtures of the tests of commands, for those that serve the page."""

from cli.conftest import command, emulator, port, practice, program  # noqa: F401 - pytest finds them here
