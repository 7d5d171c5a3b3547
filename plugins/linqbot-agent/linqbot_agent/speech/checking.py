"""Checks of what a model wants to say, which need what it was shown. The model is asked again about what it made up.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import ModelMessage, ModelRequest
from pydantic_ai.output import OutputContext
from pydantic_core import to_json

from linqbot_agent.speech.outputs import Media


@dataclass
class OutputChecks(AbstractCapability[Any]):
    """Refuses files at addresses that the model made up.

    Linq fetches the address of a file. An address that a model makes up can carry what it was asked to keep secret.
    """

    async def after_output_validate(self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any) -> Any:
        """Return the output.

        Raises:
            ModelRetry: the model was not shown the address of a file.
        """
        if not ctx.partial_output and any(not _was_shown(file.url, ctx.messages) for file in _files(output)):
            raise ModelRetry("The url of a file must be one that a tool, the person or the instructions gave you.")
        return output


def _files(output: object) -> Iterator[Media]:
    if isinstance(output, Media):
        yield output
    elif isinstance(output, list | tuple):
        for each in output:
            yield from _files(each)


def _was_shown(url: str, messages: Iterable[ModelMessage]) -> bool:
    requests = (message for message in messages if isinstance(message, ModelRequest))
    return any(
        url in (message.instructions or "")
        or any(
            url in to_json(part.content, bytes_mode="base64", fallback=str).decode()
            for part in message.parts
            # The report of an error repeats what the model has made up.
            if part.part_kind in ("user-prompt", "system-prompt", "tool-return")
            and getattr(part, "outcome", "success") == "success"
        )
        for message in requests
    )
