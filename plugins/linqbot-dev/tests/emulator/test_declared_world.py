"""A declared world as the emulator's first state, and read from a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from linqbot_dev.emulator.declared_world import AccountLine, Contact, DeclaredWorld, GroupChat, read_world
from linqbot_dev.emulator.emulator import Emulator

from linqbot.errors import ConfigError

ANN, BOB, CAT = "+14155550142", "+14155550143", "cat@example.com"
WORLD = DeclaredWorld(
    people=[
        Contact(ANN, name="Ann"),
        Contact(BOB, name="Bob", service="SMS"),
        Contact("Cat@Example.com", opted_out=True),
    ],
    groups=[GroupChat(["Ann", CAT], name="Climbing"), GroupChat([ANN, "Bob", CAT])],
    lines=[
        AccountLine("+12025550111", reputation="AT_RISK", name="Acme"),
        AccountLine("+12025550112", status="FLAGGED"),
    ],
)


def shown(emulator: Emulator) -> list[tuple[str, str, list[str]]]:
    chats = emulator.state.chats.values()
    return [(one.name or "", one.service, [member.handle for member in one.others]) for one in chats]


def test_an_emulator_begins_with_the_declared_world_and_returns_to_it() -> None:
    emulator = Emulator(declared=WORLD)
    chats = [
        ("", "iMessage", [ANN]),
        ("", "SMS", [BOB]),
        ("", "iMessage", [CAT]),
        ("Climbing", "iMessage", [ANN, CAT]),
        ("", "SMS", [ANN, BOB, CAT]),
    ]
    assert shown(emulator) == chats
    lines = [(line.phone_number, line.reputation, line.can_send) for line in emulator.state.lines.values()]
    assert lines == [("+12025550111", "AT_RISK", True), ("+12025550112", "HEALTHY", False)]
    assert [card.first_name for card in emulator.state.cards.values()] == ["Acme", "Your bot"]
    assert (emulator.state.service_of(BOB), emulator.state.opted_out) == ("SMS", {CAT})
    assert emulator.snapshot()["people"][0] == {"handle": ANN, "name": "Ann"}
    emulator.reset()
    assert shown(emulator) == chats


def test_a_world_that_cannot_be_is_refused_with_the_value(subtests: pytest.Subtests) -> None:
    ann = Contact(ANN, name="Ann")
    wrong: dict[str, Callable[[], object]] = {
        "neither a phone number": lambda: Contact("555-0142"),
        "is no phone number": lambda: AccountLine("acme"),
        "needs a line": lambda: DeclaredWorld(lines=[]),
        "handle '+14155550142' is declared twice": lambda: DeclaredWorld(people=[ann, Contact(ANN)]),
        "name 'Ann' is declared twice": lambda: DeclaredWorld(people=[ann, Contact(BOB, name="Ann")]),
        "line '+12025550111' is declared twice": lambda: DeclaredWorld(lines=[AccountLine("+12025550111")] * 2),
        "'Anne', which is neither a handle nor the name of a person. Did you mean 'Ann'?": lambda: DeclaredWorld(
            people=[ann], groups=[GroupChat(["Anne", BOB])]
        ),
        "The group Us needs two people": lambda: DeclaredWorld(
            people=[ann], groups=[GroupChat(["Ann", ANN], name="Us")]
        ),
    }
    for message, make in wrong.items():
        with subtests.test(message), pytest.raises(ValueError, match=re.escape(message)):
            make()


TOML = """
[[people]]
handle = "+14155550142"
name = "Ann"

[[people]]
handle = "+14155550143"
service = "SMS"

[[groups]]
people = ["Ann", "+14155550143"]
name = "Climbing"

[[lines]]
phone_number = "+12025550100"
reputation = "AT_RISK"
"""


def test_a_world_is_read_from_toml_and_from_json(tmp_path: Path) -> None:
    (tmp_path / "world.toml").write_text(TOML)
    data = {
        "people": [{"handle": ANN, "name": "Ann"}, {"handle": BOB, "service": "SMS"}],
        "groups": [{"people": ["Ann", BOB], "name": "Climbing"}],
        "lines": [{"phone_number": "+12025550100", "reputation": "AT_RISK"}],
    }
    (tmp_path / "world.json").write_text(json.dumps(data))
    world = read_world(tmp_path / "world.toml")
    assert world == read_world(tmp_path / "world.json")
    assert (world.people[0], world.people_of("Climbing")) == (Contact(ANN, name="Ann"), [ANN, BOB])


def test_a_file_that_is_no_world_is_refused_with_the_place_in_it(tmp_path: Path, subtests: pytest.Subtests) -> None:
    wrong = {
        "{": "cannot be read",
        "[]": "the file: ",
        '{"person": []}': "person: ",
        '{"people": [{"handle": "+14155550142", "phone": 1}]}': "people.0.phone: ",
        '{"people": [{"handle": "ann"}]}': "people.0: 'ann' is neither a phone number",
        '{"people": [{"handle": "+14155550142", "service": "imessage"}]}': "people.0: There is no service 'imessage'. Did you mean 'iMessage'?",
        '{"lines": [{"phone_number": "+12025550100", "status": "FLAGED"}]}': "lines.0: There is no status 'FLAGED'. Did you mean 'FLAGGED'?",
        '{"lines": []}': "the file: A world needs a line",
        '{"people": [{"handel": "+14155550142"}]}': "people.0.handel: ",
        '{"groups": [{"people": ["Ann", "Bob"]}]}': "No person has a name. Correct it: docs/testing.md",
    }
    file = tmp_path / "world.json"
    for text, message in wrong.items():
        file.write_text(text)
        with subtests.test(text), pytest.raises(ConfigError, match=re.escape(message)):
            read_world(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_world(tmp_path / "missing.json")
