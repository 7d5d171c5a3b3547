"""The rows of tables are subtests."""

from failing_rows import subtests  # noqa: F401 - pytest finds it here
