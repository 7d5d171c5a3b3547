"""The page control.md of the reference: the emulator's control API, generated from its routes and models."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from linqbot_dev.emulator.acts.conversation import Body
from linqbot_dev.emulator.web.control import REQUESTS, summary

_HEAD = """\
# Control API

The emulator's page, tests and scripts act through this API: as the person with the phone, as Linq, or as the team on
Linq's dashboard. `linqbot dev` serves it without authentication, by default on this machine only:

    curl http://127.0.0.1:4010/emulator/inbound --json '{
      "from": "+14155550142", "to": "+12025550100", "parts": [{"type": "text", "value": "hi"}]}'

Bodies are JSON objects; a field that is not listed is refused. An answer without its own description
is `{}`. Errors have the shape of Linq's API: 400 for a wrong body, 403, 404 or 409 for an act that is not possible now. An
answer comes after the state has changed; webhooks follow, and `/emulator/flush` waits for them.

In Python each act is a class, which `Emulator.do` performs:

    emulator.do(Write(from_="+14155550142", to="+12025550100", parts=[Text(value="hi")]))
"""


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from (_HEAD, "| route | |", "| --- | --- |")
    for one in REQUESTS:
        yield f"| [`{one.method} /emulator{one.path}`](#{_anchor(one.method, one.path)}) | {summary(one)} |"
    below: dict[str, Any] = {}
    for one in REQUESTS:
        about, _, _ = (inspect.getdoc(one.handler) or "").partition("\n\nRaises:")
        yield from ("", f"## {one.method} /emulator{one.path}", "", about)
        if one.body is not None:
            schema = one.body.model_json_schema()
            below |= schema.pop("$defs", {})
            yield from _model(one.body, schema, one.status)
    for name in sorted(below):
        yield from ("", f"## {name}", "", below[name].get("description", ""), "", *_table(below[name]))


def _model(body: type[Body], schema: Mapping[str, Any], status: int) -> Iterator[str]:
    is_act = body.__module__.startswith("linqbot_dev.emulator.acts.")
    in_python = f" In Python: `{body.__module__}.{body.__name__}`." if is_act else ""
    yield from ("", f"Answers {status}.{in_python}", "", *_table(schema))


def _table(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from ("| field | type | default | |", "| --- | --- | --- | --- |")
    for name, field in schema["properties"].items():
        is_required = name in schema.get("required", ()) or "const" in field
        default = "required" if is_required else "" if field["default"] is None else f"`{json.dumps(field['default'])}`"
        yield f"| `{name}` | {_type(field)} | {default} | {' '.join(field.get('description', '').split())} |"


def _type(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(_type(one) for one in field[key] if one.get("type") != "null")
    kind = field.get("type", "any JSON")
    if kind == "array":
        return f"array of {_type(field['items'])}{_limits(field, 'minItems', 'maxItems', ' items')}"
    if kind == "string":
        return f"{field.get('format', 'string')}" + _limits(field, "minLength", "maxLength", " characters")
    lowest = "exclusiveMinimum" if "exclusiveMinimum" in field else "minimum"
    return f"{kind}{_limits(field, lowest, 'maximum')}"


def _limits(field: Mapping[str, Any], lowest: str, highest: str, unit: str = "") -> str:
    low, high = field.get(lowest), field.get(highest)
    if low is None and high is None:
        return ""
    if low == 1 and high is None and unit:
        return ", not empty"
    if low is None or high is None:
        return f", at most {high:,.10g}{unit}" if low is None else f", at least {low:,.10g}{unit}"
    if low == high:
        return f", exactly {low:,.10g}{unit}"
    over = "more than " if lowest == "exclusiveMinimum" else ""
    return f", {over}{low:,.10g} to {high:,.10g}{unit}"


def _anchor(method: str, path: str) -> str:
    return re.sub(r"[^\w\- ]", "", f"{method} /emulator{path}".lower()).replace(" ", "-")
