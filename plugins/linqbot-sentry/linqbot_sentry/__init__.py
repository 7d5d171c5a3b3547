"""Errors of a linqbot in Sentry. `Sentry` is the plugin; linqbot finds it once this package is installed."""

from linqbot_sentry.plugin import Sentry

__all__ = ["Sentry"]
