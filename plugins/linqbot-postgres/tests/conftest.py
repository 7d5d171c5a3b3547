"""Fixtures of the storage tests, for the tests of this backend."""

from storage.conftest import clock  # noqa: F401 - pytest finds it here
