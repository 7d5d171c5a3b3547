"""Compares an OpenAPI file of Linq's API with what linqbot knows: endpoints, event types, names of fields.

    uv run --all-packages python .ci/drift.py linq-api-v3.yaml

Linq publishes the file at https://cdn.linqapp.com/openapi/linq-api-v3.yaml. Each difference is a line. The exit code is 1 if
there is one. Fields are compared by name alone: types and places are compared with Linq's own client, in
tests/project/test_drift.py.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import linqbot
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events.parse import EVENT_TYPES

METHODS = {"get", "post", "put", "patch", "delete"}
EVENT_TYPE = re.compile(r"[a-z_]+(\.[a-z_]+)+")


def differences(api: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each thing that only Linq or only linqbot knows."""
    theirs = {
        f"{method.upper()} {_without_names(path)}"
        for path, operations in api.get("paths", {}).items()
        for method in operations
        if method in METHODS
    }
    ours = {f"{endpoint.method} {_without_names(endpoint.path)}" for endpoint in ENDPOINTS.values()}
    yield from _sides("endpoint", theirs, ours)
    schemas = api.get("components", {}).get("schemas", {})
    listed = {value for name, schema in schemas.items() if "Event" in name for value in schema.get("enum", [])}
    events = {value for value in listed if isinstance(value, str) and EVENT_TYPE.fullmatch(value)}
    yield from _sides("event type", events, set(EVENT_TYPES))
    for field in sorted(set(_fields(schemas)) - _known_names()):
        yield f"field that linqbot does not know: {field}"


def _sides(what: str, theirs: set[str], ours: set[str]) -> Iterator[str]:
    yield from (f"{what} that linqbot does not know: {one}" for one in sorted(theirs - ours))
    yield from (f"{what} that Linq no longer has: {one}" for one in sorted(ours - theirs))


def _without_names(path: str) -> str:
    return re.sub(r"\{.*?\}", "{}", path)


def _fields(schema: Any) -> Iterator[str]:
    """Yield the names of all properties, at any depth."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for below in schema.values():
            yield from _fields(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from _fields(below)


def _known_names() -> set[str]:
    """Return all names and texts in the source of the types, the rules and the client."""
    package, found = Path(linqbot.__file__).parent, set[str]()
    for path in [*(package / "linq").rglob("*.py"), *(package / "client").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
    return found


def main() -> None:
    api = yaml.safe_load(Path(sys.argv[1]).read_text())
    found = list(differences(api))
    print("\n".join(found) or "linqbot knows the same endpoints, event types and fields.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
