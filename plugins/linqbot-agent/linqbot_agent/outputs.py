"""The output types of an agent in any framework: which ones `run` can say, and as tools where a framework has no outputs.

`saying.py` has the types themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from linqbot import BotError
from linqbot_agent.saying import Media, Poll, Say, Several, Silence, Tapback

OUTPUTS: Final = (Say, Tapback, Poll, Media, Silence, Several)
KNOWN: Final = "str, Say, Tapback, Poll, Media, Silence and Several, from linqbot_agent"

OutputType: TypeAlias = Any
"""`str`, an output type of this package, a union or a list of these, or None."""


def can_be_said(kind: OutputType) -> bool:
    """Return True for an output type whose values `run` can say."""
    origin: Any = get_origin(kind)
    if origin in (Union, UnionType, list, tuple):
        return all(can_be_said(each) for each in get_args(kind) if each is not ...)
    return kind in (str, None, NoneType, *OUTPUTS)


def _parts(kind: OutputType) -> Sequence[OutputType]:
    origin: Any = get_origin(kind)
    return get_args(kind) if origin in (Union, UnionType) else [kind]


def changed(output: Any, change: Callable[[str], str]) -> Any:
    """Return an output with its texts changed."""
    match output:
        case str():
            return change(output)
        case Say():
            return replace(output, text=change(output.text))
        case Poll():
            return replace(output, options=tuple(map(change, output.options)))
        case Several():
            return replace(output, outputs=[changed(each, change) for each in output.outputs])
        case list() | tuple():
            return type(output)(changed(each, change) for each in output)
    return output


class OutputTools:
    """The output types of a model as tools. When the model calls one, the run ends, and its arguments are the answer.

    Args:
        types: The types. `str` is a text without a call, and needs no tool.
    Raises:
        BotError: there is a type that `run` cannot say.
    Attributes:
        schemas: By the name of each tool: its description and its JSON schema.
    """

    def __init__(self, types: OutputType | Sequence[OutputType]) -> None:
        every = types if isinstance(types, Sequence) else [types]
        if wrong := [each for each in every if not can_be_said(each)]:
            raise BotError(f"run(output_type=…) has {wrong[0]}, and run() says texts. Use {KNOWN}, or a list of these.")
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        for each in (one for kind in every for one in _parts(kind)):
            if each not in (str, None, NoneType):
                self._add(each)
        self.schemas: Mapping[str, tuple[str, dict[str, Any]]] = {
            name: _described(adapter.json_schema()) for name, adapter in self._adapters.items()
        }

    def _add(self, kind: Any) -> None:
        if get_origin(kind) in (list, tuple):
            kind = create_model("Several", __doc__=Several.__doc__, __base__=_Listed, outputs=(kind, ...))
        self._adapters[f"answer_with_{kind.__name__.lower()}"] = TypeAdapter(kind)

    def answer(self, calls: Iterable[tuple[str, Any]]) -> list[Any] | None:
        """Return the outputs that calls of tools give, by their names and arguments; None if one of them is wrong."""
        try:
            return [self._output(name, arguments) for name, arguments in calls if name in self._adapters]
        except ValidationError:
            return None

    def refusal(self, name: str, arguments: Any) -> str:
        """Return what the model reads after calls of which one is wrong."""
        try:
            self._output(name, arguments)
        except ValidationError as error:
            return str(error)
        return "Not said, because another part of the answer is wrong. Give the whole answer again."

    def _output(self, name: str, arguments: Any) -> Any:
        output = self._adapters[name].validate_python(arguments)
        return output.outputs if isinstance(output, _Listed) else output


class _Listed(BaseModel):
    """The arguments of a tool that answers with a list of outputs, as a JSON object."""

    outputs: Any


def _described(schema: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return schema.pop("description"), schema
