"""Fixtures of the tests of commands, for those that start `linqbot dev`."""

from cli.conftest import command  # noqa: F401 - pytest finds it here
