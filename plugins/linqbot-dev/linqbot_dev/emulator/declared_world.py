"""The world that a test or the phone page begins with: people, groups and lines, declared up front.

`DeclaredWorld.state` returns it as a seed in the shapes of `statefile.py`. Each person has a direct chat with the first line, and each
group is a chat; no chat has a message yet. `read_world` reads a world from a file.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from linqbot.errors import ConfigError
from linqbot.linq.handles import is_handle, is_phone
from linqbot.linq.types.chat import ServiceType
from linqbot.linq.types.names import misspelt
from linqbot.nearest import suggestion
from linqbot.text_files import written_text
from linqbot_dev.emulator.model.records import can_text, normal

_PLAINEST: tuple[ServiceType, ...] = ("SMS", "RCS", "iMessage")
"""A group has the plainest service among its people."""
_STRICT = ConfigDict(extra="forbid")


def _refuse_misspelt(what: str, given: str, known: Collection[str]) -> None:
    if near := misspelt(what if what == "service" else f"line.{what}", given, known):
        raise ValueError(f"There is no {what} {given!r}. Did you mean {near!r}?")


@dataclass(frozen=True, slots=True)
class Contact:
    """A person who can text the bot.

    Attributes:
        handle: E.164, an e-mail address, a short code such as `68849`, or the name of a sender in capitals.
        name: The name on the phone page, and in the test: `phone.person("Ann")`. Linq does not give it to a bot.
        service: The service of the person's phone.
        opted_out: The person has written STOP.
    Raises:
        ValueError: the handle is none of them, or the service is misspelt.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    handle: str
    name: str | None = None
    service: ServiceType | str = "iMessage"
    opted_out: bool = False

    def __post_init__(self) -> None:
        if not can_text(handle := normal(self.handle)):
            raise ValueError(
                f"{self.handle!r} is neither a phone number such as +14155550142 nor an e-mail address. The name of a sender is "
                "written in capitals here."
            )
        _refuse_misspelt("service", self.service, get_args(ServiceType))
        object.__setattr__(self, "handle", handle)


@dataclass(frozen=True, slots=True)
class GroupChat:
    """A group chat with the bot.

    Attributes:
        people: The names or the handles of two people or more. The bot is in every group.
        name: The name of the group.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    people: Sequence[str]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AccountLine:
    """A phone number of the account.

    Attributes:
        phone_number: E.164.
        status: `FLAGGED` lines cannot send.
        reputation: The standing of the line, as Linq reports it.
        name: The first name on the contact card of the line.
    Raises:
        ValueError: the number is not in E.164 form, or the status or the reputation is misspelt.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    phone_number: str
    status: Literal["ACTIVE", "FLAGGED"] | str = "ACTIVE"
    reputation: Literal["HEALTHY", "AT_RISK", "CRITICAL"] | str = "HEALTHY"
    name: str = "Your bot"

    def __post_init__(self) -> None:
        if not is_phone(self.phone_number):
            raise ValueError(f"{self.phone_number!r} is no phone number such as +12025550100.")
        _refuse_misspelt("status", self.status, ("ACTIVE", "FLAGGED"))
        _refuse_misspelt("reputation", self.reputation, ("HEALTHY", "AT_RISK", "CRITICAL"))


FIRST_PERSON: Final = "+14155550142"
"""The person of a world that declares none. The page has it too, in `model/people.js`."""

LINES: Final = ("+12025550100", "+12025550101")
"""The lines of a world that declares none."""


@dataclass(frozen=True, slots=True)
class DeclaredWorld:
    """The people, the groups and the lines that a test or the phone page begins with.

    Attributes:
        people: The first one has the phone of the test and of the page.
        groups: The groups, on the first line.
        lines: The bot's numbers; the chats are on the first one.
    Raises:
        ValueError: two people or two lines are the same, a group has fewer than two people, or names a person that is
            not declared.

    Example:
        `DeclaredWorld(people=[Contact("+14155550142", name="Ann"), Contact("bob@example.com")])`
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    people: Sequence[Contact] = ()
    groups: Sequence[GroupChat] = ()
    lines: Sequence[AccountLine] = tuple(map(AccountLine, LINES))

    def __post_init__(self) -> None:
        if not self.lines:
            raise ValueError("A world needs a line: lines=[AccountLine('+12025550100')].")
        _refuse_same("line", [line.phone_number for line in self.lines])
        _refuse_same("handle", [person.handle for person in self.people])
        names = [*(person.name for person in self.people), *(group.name for group in self.groups)]
        _refuse_same("name", [name for name in names if name is not None])
        for group in self.groups:
            self._check(group)

    def _check(self, group: GroupChat) -> None:
        handles = [self.handle_of(one) for one in group.people]
        for one in handles:
            if not is_handle(one):
                what = f"A group has {one!r}, which is neither a handle nor the name of a person."
                raise ValueError(f"{what} {self.nearest(one)}")
        if len(set(handles)) < 2:
            raise ValueError(f"The group {group.name or handles} needs two people or more. The bot is in every group.")

    def handle_of(self, name: str) -> str:
        """Return the handle of the person with this name; the text itself, a handle, if no person has the name."""
        return next((person.handle for person in self.people if person.name == name), normal(name))

    def nearest(self, name: str) -> str:
        """Return a sentence with the names of people that are near to another name."""
        names = [person.name for person in self.people if person.name is not None]
        return suggestion(name, names) if names else "No person has a name."

    def people_of(self, name: str) -> list[str] | None:
        """Return the handles of the group with this name; None if there is none."""
        group = next((one for one in self.groups if one.name == name), None)
        return None if group is None else [self.handle_of(one) for one in group.people]

    @property
    def owner(self) -> str:
        """The handle of the phone of a test and of the page."""
        return self.people[0].handle if self.people else FIRST_PERSON

    def person(self, handle: str) -> Contact | None:
        return next((person for person in self.people if person.handle == handle), None)

    def state(self) -> dict[str, Any]:
        """Return the world as a seed: see `Emulator.reset`."""
        numbers = [
            {"phone_number": line.phone_number, "status": line.status, "reputation": line.reputation}
            for line in self.lines
        ]
        cards = [{"phone_number": line.phone_number, "first_name": line.name, "is_given": True} for line in self.lines]
        groups = [self._chat([self.handle_of(one) for one in group.people], group.name) for group in self.groups]
        return {
            "phone_numbers": numbers,
            "contact_cards": cards,
            "services": {person.handle: person.service for person in self.people},
            "opted_out": [person.handle for person in self.people if person.opted_out],
            "chats": [*(self._chat([person.handle], None) for person in self.people), *groups],
        }

    def _chat(self, handles: Sequence[str], name: str | None) -> dict[str, Any]:
        services = {one: person.service if (person := self.person(one)) else "iMessage" for one in handles}
        # Phones on a service that is not known are on that one together.
        service = next((one for one in _PLAINEST if one in services.values()), next(iter(services.values())))
        line = {"handle": self.lines[0].phone_number, "is_me": True, "service": service, "line_type": "iMessage"}
        members = [{"handle": one, "service": services[one]} for one in dict.fromkeys(handles)]
        return {"handles": [line, *members], "is_group": len(members) > 1, "name": name, "service": service}


def _refuse_same(what: str, values: Sequence[str]) -> None:
    again = next((one for number, one in enumerate(values) if one in values[:number]), None)
    if again is not None:
        raise ValueError(f"The {what} {again!r} is declared twice.")


def read_world(file: Path) -> DeclaredWorld:
    """Read a world from a JSON file, or from a TOML file whose name ends in `.toml`.

    Raises:
        ConfigError: the file cannot be read, or does not describe a world. The message names the place in the file.
    """
    try:
        text = written_text(file)
        data = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}. It is a JSON file, or a TOML file named *.toml.") from error
    try:
        world: DeclaredWorld = TypeAdapter(DeclaredWorld).validate_python(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A misspelt name comes after the error that its field is missing.
        first = next((one for one in found if one["type"] == "unexpected_keyword_argument"), found[0])
        where = ".".join(map(str, first["loc"])) or "the file"
        why = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise ConfigError(
            f"{file} does not describe a world: {where}: {why}. Correct it: docs/testing.md says what such a file holds."
        ) from error
    return world
