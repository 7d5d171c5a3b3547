"""Compares what Linq has now with what linqbot knows: endpoints, parameters, fields, event types, and values of fixed lists.

    uv run --all-packages python .ci/drift.py                     # the newest linq-python of the package index
    uv run --all-packages python .ci/drift.py linq-api-v3.yaml    # an OpenAPI file of Linq's API

Linq publishes the file at https://cdn.linqapp.com/openapi/linq-api-v3.yaml. Each thing that linqbot lacks is a line, and the
exit code is then 1. It is no part of `.ci/run`, which must give the same result every day: tests/project/test_drift.py makes
the first comparison with the version of linq-python that the tests are pinned to.

Methods, their parameters and the fields of their answers are compared by their places. Fields of events, fields inside of
parameters, and values that linqbot has no type for are compared by name alone.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
import types
import typing
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

import linqbot
from linqbot.client.client import Client
from linqbot.client.resources.resource import Listing
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.types.data import Data

METHODS = {"get", "post", "put", "patch", "delete"}
EVENT_TYPE = re.compile(r"[a-z_]+(\.[a-z_]+)+")

# Not an endpoint: the SDK verifies webhooks there. Our equivalent is linqbot/linq/signatures.py.
NO_ENDPOINTS = {"webhooks.unwrap"}
OF_EVERY_METHOD = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
HINT = "that linqbot does not know"


# --- the official client, of which the version that is imported first counts ------------------------------------------


def client_differences() -> list[str]:
    """Return a sentence for each thing that the official client has and linqbot lacks."""
    return list(dict.fromkeys(_client_differences()))  # calls and events share models


def _client_differences() -> Iterator[str]:
    for event in sorted(event_types() - set(EVENT_TYPES)):
        yield f"event type {HINT}: {event}"
    for name, method in sorted(official_methods().items()):
        if name not in ENDPOINTS:
            yield f"endpoint {HINT}: {name}"
            continue
        hints = hints_of(method)
        for parameter in sorted(set(inspect.signature(method).parameters) - OF_EVERY_METHOD - parameters_of(name)):
            yield f"parameter {HINT}: {name}({parameter}=…)"
        for parameter, hint in sorted(hints.items()):
            if parameter not in OF_EVERY_METHOD | {"return"}:
                yield from inside(hint, f"{name}({parameter})", known_values(name, parameter))
        yield from answer_differences(name, hints.get("return"))
    for event, model in sorted(event_models().items()):
        yield from inside(model, event, None)


def event_types() -> set[str]:
    """Return the event types that can be subscribed to, and those that have a model."""
    listed = importlib.import_module("linq.types.webhook_event_type").WebhookEventType
    return {*get_args(listed), *event_models()}


@cache
def event_models() -> dict[str, Any]:
    """Return the model of the data of each event type that has one."""
    found: dict[str, Any] = {}
    package = importlib.import_module("linq.types")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_webhook_event"):
            for model in vars(importlib.import_module(f"linq.types.{module.name}")).values():
                field = getattr(model, "model_fields", {}).get("event_type")
                found |= dict.fromkeys(get_args(field.annotation), model) if field else {}
    return found


def resolved(holder: Any, name: str) -> Any:
    """Return a resource of the official client or of ours, such as `chats.messages`."""
    for step in filter(None, name.split(".")):
        holder = getattr(holder, step)
    return holder


@cache
def official_methods() -> dict[str, Any]:
    """Return every method of the official client by its name, `noun.verb`."""
    client = importlib.import_module("linq").AsyncLinqAPIV3(api_key="key")

    def walk(holder: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name in dir(type(holder)):
            if name.startswith(("_", "with_")):
                continue
            member = getattr(type(holder), name)
            if callable(member) and path:
                yield f"{path}{name}", member
            elif not callable(member) and type(noun := getattr(holder, name)).__name__.endswith("Resource"):
                yield from walk(noun, f"{path}{name}.")

    return {name: method for name, method in walk(client, "") if name not in NO_ENDPOINTS}


def our_method(name: str) -> Any:
    noun, _, verb = name.rpartition(".")
    return getattr(type(resolved(Client("key"), noun)), verb)


def parameters_of(name: str) -> set[str]:
    return set(inspect.signature(our_method(name)).parameters)


def hints_of(method: Any) -> dict[str, Any]:
    return typing.get_type_hints(method, vars(importlib.import_module(method.__module__)))


def known_values(name: str, parameter: str) -> set[str] | None:
    """Return the values that our type of a parameter lists; None if it lists none, or not for all that it may contain."""
    if parameter not in parameters_of(name):
        return None
    return literals(hints_of(our_method(name))[parameter]) or None


def literals(hint: Any) -> set[str]:
    """Return the strings that a type lists directly, through unions and options."""
    if get_origin(hint) is Literal:
        return {value for value in get_args(hint) if isinstance(value, str)}
    if get_origin(hint) in (typing.Union, types.UnionType):
        return {value for inner in get_args(hint) for value in literals(inner)}
    return set()


def inside(hint: Any, at: str, known: set[str] | None, seen: frozenset[Any] = frozenset()) -> Iterator[str]:
    """Yield what linqbot does not know of the fields and the values inside of a type of the official client."""
    values = {value for value in literals(hint) if "://" not in value}
    for value in sorted(values - (known_words() if known is None else known)):
        yield f"value {HINT}: {at} = {value!r}"
    for model in members(hint):
        if model in seen:
            continue
        for name, field in fields_of(model):
            place = f"{model.__name__}.{name}"
            if name not in known_words():
                yield f"field {HINT}: {place}"
            yield from inside(field, place, None, seen | {model})


def members(hint: Any) -> list[Any]:
    """Return the models and the typed dicts that a type may contain, through lists, options and unions."""
    if is_typed_dict(hint) or (inspect.isclass(hint) and get_origin(hint) is None and issubclass(hint, BaseModel)):
        return [hint]
    return [found for inner in get_args(hint) for found in members(inner)]


def is_typed_dict(hint: Any) -> bool:
    """Return True for a typed dict, also for one of typing_extensions, which `typing.is_typeddict` does not know."""
    return inspect.isclass(hint) and issubclass(hint, dict) and hasattr(hint, "__required_keys__")


def fields_of(model: Any) -> list[tuple[str, Any]]:
    if is_typed_dict(model):
        hints = typing.get_type_hints(model, vars(importlib.import_module(model.__module__)), include_extras=False)
        return [(name.rstrip("_"), hint) for name, hint in hints.items()]
    return [(field.alias or name, field.annotation) for name, field in model.model_fields.items()]


# --- the answers of methods -------------------------------------------------------------------------------------------


def models(annotation: Any, kind: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the models that an annotation may contain, through lists, options and unions."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, kind) else []
    return [found for inner in get_args(annotation) for found in models(inner, kind)]


def answer_differences(name: str, official: Any) -> Iterator[str]:
    """Yield the fields of the answer of a method that our type of it does not have, and its unknown values."""
    ours = hints_of(our_method(name))["return"]
    if official is type(None) or ours is type(None):
        if official is not ours:
            yield f"answer {HINT}: {name}"
        return
    yield from inside(official, name, None)
    theirs = models(official, BaseModel)
    (own,) = models(ours, Data)
    if get_origin(ours) is Listing and theirs[0].__name__.endswith("ListResponse"):
        # Where the official method returns the whole response, ours returns the items of its only list.
        theirs = [inner for field in theirs[0].model_fields.values() for inner in models(field.annotation, BaseModel)]
    yield from (f"field {HINT}: {place}" for place in unknown(theirs[0], own, own.__name__, frozenset()))


def unknown(official: type[BaseModel], ours: type[BaseModel], at: str, seen: frozenset[Any]) -> Iterator[str]:
    """Yield the paths of fields in the official model that our model does not have."""
    if (official, ours) in seen:
        return
    known = {field.alias or name: field for name, field in ours.model_fields.items()}
    for name, field in official.model_fields.items():
        wire = field.alias or name
        if wire not in known:
            yield f"{at}.{wire}"
            continue
        inner, own = models(field.annotation, BaseModel), models(known[wire].annotation, Data)
        for each in inner:
            partner = [one for one in own if kind_of(one) == kind_of(each)] or own
            if partner:
                yield from unknown(each, partner[0], f"{at}.{wire}", seen | {(official, ours)})


def kind_of(model: type[BaseModel]) -> str:
    """Return the value that distinguishes the members of a union: the only value of `type`."""
    field = model.model_fields.get("type")
    values = get_args(field.annotation) if field else ()
    return str(values[0]) if len(values) == 1 else ""


# --- an OpenAPI file --------------------------------------------------------------------------------------------------


def openapi_differences(api: dict[str, Any]) -> Iterator[str]:
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
    for field in sorted(set(_fields(schemas)) - known_words()):
        yield f"field {HINT}: {field}"


def _sides(what: str, theirs: set[str], ours: set[str]) -> Iterator[str]:
    yield from (f"{what} {HINT}: {one}" for one in sorted(theirs - ours))
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


@cache
def known_words() -> set[str]:
    """Return the names in the source of the types, the rules and the client, and each word of their texts and docstrings."""
    package, found = Path(linqbot.__file__).parent, set[str]()
    for path in [*(package / "linq").rglob("*.py"), *(package / "client").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value, *re.findall(r"[\w.+/-]*\w", node.value)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
    return found


# --- the command ------------------------------------------------------------------------------------------------------


def use_newest(folder: str) -> str:
    """Install the newest linq-python of the package index into a folder, import it from there, and return its version."""
    command = ("pip", "install", "--quiet", "--no-deps", "--refresh-package", "linq-python", "--target", folder)
    subprocess.run([os.environ.get("UV", "uv"), *command, "linq-python"], check=True)
    sys.path.insert(0, folder)
    (package,) = distributions(name="linq-python", path=[folder])
    return package.version


def main() -> None:
    if len(sys.argv) > 1:
        import yaml

        what, found = sys.argv[1], list(openapi_differences(yaml.safe_load(Path(sys.argv[1]).read_text())))
    else:
        with tempfile.TemporaryDirectory() as folder:
            what, found = f"linq-python {use_newest(folder)}", client_differences()
    print("\n".join(found) or f"linqbot knows all that {what} has.")
    if found:
        print(f"{len(found)} in {what}. CONTRIBUTING.md says where each is added.", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
