"""A plugin that refuses calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linqbot import Refused, hookimpl
from linqbot.client.call import ApiResponse, Call, Run


class Refusing:
    """A plugin that refuses the calls for which `refuses` returns True."""

    def __init__(self, refuses: Callable[[Call], bool], why: str, *, name: str = "policy") -> None:
        self.name = name
        self._refuses = refuses
        self._why = why

    @hookimpl
    def register_outbound(self) -> list[Any]:
        def wrap(run: Run) -> Run:
            async def asked(call: Call) -> ApiResponse:
                if self._refuses(call):
                    raise Refused(self._why)
                return await run(call)

            return asked

        return [wrap]
