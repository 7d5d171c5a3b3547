"""Linqbot knows every event, endpoint and field that the official client knows; the official client is the oracle.

If the official client learns something new, these tests fail and name what is missing.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import linq
import pytest
from linq import AsyncLinqAPIV3
from linq.types.webhook_event_type import WebhookEventType
from pydantic import BaseModel

from linqbot.client.client import Client
from linqbot.client.resources.resource import Listing
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.types.data import Data
from linqbot.settings import from_env

OFFICIAL = Path(linq.__file__).parent

# Not an endpoint: the SDK verifies webhooks there. Our equivalent is linqbot/linq/signatures.py.
NO_ENDPOINTS = {"webhooks.unwrap"}


def test_each_variable_of_the_official_client_may_be_set() -> None:
    sources = "".join(path.read_text() for path in OFFICIAL.rglob("*.py"))
    variables = set(re.findall(r"\bLINQ_[A-Z0-9_]+\b", sources))
    assert {"LINQ_API_V3_API_KEY", "LINQ_API_V3_LOG"} <= variables
    from_env(dict.fromkeys(variables, "x"))


def test_the_official_client_knows_no_event_type_that_we_do_not() -> None:
    assert set(get_args(WebhookEventType)) - set(EVENT_TYPES) == set()


def test_the_official_client_has_a_model_for_no_event_type_that_we_do_not_know() -> None:
    source = "".join(path.read_text() for path in (OFFICIAL / "types").glob("*_webhook_event.py"))
    lists = re.findall(r"event_type: Literal\[(.*?)\]", source, re.DOTALL)
    modelled = {name for each in lists for name in re.findall(r'"([\w.]+)"', each)}
    assert len(modelled) > 60
    assert modelled - set(EVENT_TYPES) == set()


# --- responses --------------------------------------------------------------------------------------------------------


def resolved(holder: Any, name: str) -> Any:
    """Return a resource of the official client or of ours, such as `chats.messages`."""
    for step in filter(None, name.split(".")):
        holder = getattr(holder, step)
    return holder


def official_methods() -> Iterator[tuple[str, Any]]:
    """Return every method of the official client, as `noun.verb`, with its return annotation."""
    client = AsyncLinqAPIV3(api_key="key")

    def walk(holder: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name in dir(type(holder)):
            if name.startswith(("_", "with_")):
                continue
            member = getattr(type(holder), name)
            if callable(member) and path:
                hints = typing.get_type_hints(member, vars(importlib.import_module(type(holder).__module__)))
                yield f"{path}{name}", hints.get("return")
            elif not callable(member) and type(noun := getattr(holder, name)).__name__.endswith("Resource"):
                yield from walk(noun, f"{path}{name}.")

    yield from walk(client, "")


OFFICIAL_METHODS = {name: answer for name, answer in official_methods() if name not in NO_ENDPOINTS}


def our_answer(name: str) -> Any:
    noun, _, verb = name.rpartition(".")
    holder = type(resolved(Client("key"), noun))
    module = vars(importlib.import_module(holder.__module__))
    return typing.get_type_hints(getattr(holder, verb), module)["return"]


def models(annotation: Any, kind: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the models that an annotation may contain, through lists, options and unions."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, kind) else []
    return [found for inner in get_args(annotation) for found in models(inner, kind)]


def kind_of(model: type[BaseModel]) -> str:
    """Return the value that distinguishes the members of a union: the only value of `type`."""
    field = model.model_fields.get("type")
    values = get_args(field.annotation) if field else ()
    return str(values[0]) if len(values) == 1 else ""


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


def test_the_official_client_reads_no_field_that_we_do_not(subtests: pytest.Subtests) -> None:
    for name in sorted(OFFICIAL_METHODS):
        with subtests.test(name=name):
            official, ours = models(OFFICIAL_METHODS[name], BaseModel), our_answer(name)
            if OFFICIAL_METHODS[name] is type(None):
                assert ours is type(None)
                continue
            if get_origin(ours) is Listing:
                (own,) = models(ours, Data)
                (page,) = official[:1]
                # Where the official method returns the whole response, ours returns the items of its only list.
                lists = [
                    inner for field in page.model_fields.values() if (inner := models(field.annotation, BaseModel))
                ]
                official = lists[0] if page.__name__.endswith("ListResponse") else official
            else:
                (own,) = models(ours, Data)
            assert list(unknown(official[0], own, own.__name__, frozenset())) == []


def test_our_methods_are_those_of_the_official_client() -> None:
    assert not OFFICIAL_METHODS.keys() - ENDPOINTS.keys(), "Add these: CONTRIBUTING.md says how, under endpoint."
    unknown = ENDPOINTS.keys() - OFFICIAL_METHODS.keys() - {"v2.list_chats"}
    assert not unknown, "Linq's client has none of these. Raise its lowest version if a newer one has."


def names(client: Any, name: str) -> set[str]:
    noun, _, verb = name.rpartition(".")
    parameters = inspect.signature(getattr(type(resolved(client, noun)), verb)).parameters
    return set(parameters) - {"self", "extra_headers", "extra_query", "extra_body", "timeout"}


def test_arguments_have_the_official_names(subtests: pytest.Subtests) -> None:
    for name in sorted(OFFICIAL_METHODS):
        with subtests.test(name=name):
            assert names(AsyncLinqAPIV3(api_key="key"), name) - names(Client("key"), name) == set()
