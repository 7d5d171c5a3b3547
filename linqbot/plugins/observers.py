"""Calls the observing hooks of plugins, and reports those that fail or are slow.

An observer must neither end nor delay what it observes. Each implementation is called separately: an error, or too many
slow calls, is reported with the name of its plugin, and the other plugins do not notice. `registry.py` disables the
plugin.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from linqbot.events.delivery import Delivery
from linqbot.hookspecs import MAX_CARRIER_BYTES
from linqbot.interrupts import is_ctrl_c
from linqbot.plugins.error_text import describe
from linqbot.plugins.plugin import Impl, Watch

OBSERVED: Final = ("received", "stored", "refused", "taken", "routed", "sent", "handled", "failed", "finished")
"""Hooks that are called while a delivery is handled. They must be plain functions."""

SLOW_S: Final = 0.05
"""Seconds from which a call counts as slow: it holds up every chat."""

CALLS_PER_PERIOD: Final = 100
"""Slow calls are counted over this many calls; then the count starts again at 0."""

MIN_SLOW_CALLS: Final = 5
MIN_SLOW_SHARE: Final = 0.2
"""A plugin is disabled when it made this many slow calls and they are this share of its calls in the current period.
Fewer are not the plugin's fault: on a busy machine any call may be slow."""


class ObserverCalls:
    """Calls implementations of observing hooks.

    Args:
        timer: Clock that never goes back, in seconds.
        watch: See `Watch`.
        on_fault: Called with an implementation that failed or is slow, and with the reason.
    """

    def __init__(self, timer: Callable[[], float], watch: Watch, on_fault: Callable[[Impl, str], None]) -> None:
        self._timer = timer
        self._watch = watch
        self._on_fault = on_fault

    def call(self, impl: Impl, facts: Mapping[str, Any]) -> None:
        """Call one implementation. An error is reported to `on_fault`.

        Raises:
            KeyboardInterrupt: Ctrl-C. No other error is raised.
        """
        began = self._timer()
        try:
            with self._watch(impl.plugin.name, impl.hook):
                impl(facts)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            self._on_fault(impl, describe(impl.hook, error))
            return
        self._count(impl, self._timer() - began)

    def call_received(self, impls: Iterable[Impl], delivery: Delivery, headers: Mapping[str, str]) -> Delivery:
        """Call the implementations of `received`. Returns the delivery with the carriers that they filled."""
        carriers: dict[str, dict[str, str]] = {}
        for impl in impls:
            carrier: dict[str, str] = {}
            self.call(impl, {"delivery": delivery, "headers": headers, "carrier": carrier})
            if not carrier or not impl.plugin.is_on:
                continue
            if (problem := _problem_of(carrier)) is not None:
                self._on_fault(impl, problem)
            else:
                carriers[impl.plugin.name] = carrier
        return replace(delivery, carrier=json.dumps(carriers)) if carriers else delivery

    def call_taken(self, impls: Iterable[Impl], delivery: Delivery, facts: Mapping[str, Any]) -> None:
        """Call the implementations of `taken`, each with the carrier that its plugin filled in `received`."""
        carriers = json.loads(delivery.carrier) if delivery.carrier else {}
        for impl in impls:
            carrier = carriers.get(impl.plugin.name, {})
            self.call(impl, {"delivery": delivery, "carrier": carrier, **facts})

    def _count(self, impl: Impl, took_s: float) -> None:
        impl.calls += 1
        if took_s > SLOW_S:
            impl.slow_calls += 1
            if impl.slow_calls >= max(MIN_SLOW_CALLS, MIN_SLOW_SHARE * impl.calls):
                counted = f"{impl.slow_calls} of {impl.calls} calls"
                why = f"{impl.hook} took over {SLOW_S * 1000:.0f} ms in {counted}; do the work in a thread or a task"
                self._on_fault(impl, why)
        if impl.calls >= CALLS_PER_PERIOD:
            impl.calls = impl.slow_calls = 0


def _problem_of(carrier: Mapping[Any, Any]) -> str | None:
    if not all(isinstance(text, str) for pair in carrier.items() for text in pair):
        return "received put something other than strings into its carrier"
    if (size := len(json.dumps(carrier))) > MAX_CARRIER_BYTES:
        return f"received put {size} bytes into its carrier; the maximum is {MAX_CARRIER_BYTES}"
    return None
