"""Prometheus metrics of a linqbot. `Prometheus` is the plugin; linqbot finds it once this package is installed."""

from linqbot_prometheus.plugin import Prometheus

__all__ = ["Prometheus"]
