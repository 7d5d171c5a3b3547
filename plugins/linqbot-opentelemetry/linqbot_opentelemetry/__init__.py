"""OpenTelemetry traces of a linqbot. `OpenTelemetry` is the plugin; linqbot finds it once this package is installed."""

from linqbot_opentelemetry.plugin import OpenTelemetry

__all__ = ["OpenTelemetry"]
