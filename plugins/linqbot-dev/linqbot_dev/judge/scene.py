"""The texts that people write to a judged bot, and what is due for them: the built-in echo, or a scene file of the author in TOML.

A scene file has a list `people`, each with a `name` and with `says`, the texts in their order. A text has `text`; `due`, a list
in the form of `simulation/checker.py`; and `answers`, the question that must be on the phone before the text is written.
Chats have the names of their people. In each string `{run}` becomes a word that differs in each trial, so that nothing is
left over from the trial before, `{text}` the text itself and `{person}` the name.

Next step: `play.py` lets people play a scene.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from linqbot.errors import ConfigError
from linqbot_dev.simulation import checker

WORDS: Final = ("apples", "bread", "cheese", "dates", "eggs", "figs", "grapes", "honey")
"""The texts of the built-in echo."""


@dataclass(frozen=True)
class SceneLine:
    """A text that a person writes.

    Attributes:
        due: The bubbles that the bot owes for the text, in the form of the checker.
        answers: The question that must be shown before.
    """

    text: str
    due: Sequence[Mapping[str, Any]]
    answers: str | None = None

    def filled(self, *, run: str, person: str) -> SceneLine:
        """Return the line with its placeholders replaced."""
        text = _filled(self.text, {"run": run, "person": person})
        places = {"run": run, "person": person, "text": text}
        return SceneLine(text, _filled(self.due, places), _filled(self.answers, places))


@dataclass(frozen=True)
class ScenePerson:
    name: str
    lines: Sequence[SceneLine]


@dataclass(frozen=True)
class JudgedScene:
    """The people of a scene, who talk at the same time, each in a chat with the bot."""

    name: str
    people: Sequence[ScenePerson]

    @property
    def length(self) -> int:
        """The texts of the person who says most."""
        return max(len(person.lines) for person in self.people)


def _filled(value: Any, places: Mapping[str, str]) -> Any:
    match value:
        case str():
            for name, instead in places.items():
                value = value.replace(f"{{{name}}}", instead)
            return value
        case Mapping():
            return {key: _filled(each, places) for key, each in value.items()}
        case list() | tuple():
            return [_filled(each, places) for each in value]
        case _:
            return value


def echo(first: Sequence[str], later: Sequence[str]) -> JudgedScene:
    """Return the scene in which a bot repeats what Ann writes.

    Args:
        first: The bubbles that the bot answers to the first text of a chat, with `{text}` in place of the text.
        later: The same for each further text.
    """
    lines = [
        SceneLine(f"{word} {{run}}", [{"kind": "shows", "texts": list(later if number else first)}])
        for number, word in enumerate(WORDS)
    ]
    return JudgedScene("echo", [ScenePerson("Ann", lines)])


def load_scene(file: Path) -> JudgedScene:
    """Read a scene file.

    Raises:
        ConfigError: It is no TOML, or has not this form.
    """
    try:
        given = tomllib.loads(file.read_text("utf-8"))
        people = [_person(person) for person in given["people"]]
        scene = JudgedScene(file.stem, people)
        _try(scene)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{file} is no scene: {what}. See docs/judge.md for the form of a scene file.") from error
    return scene


def _person(given: Mapping[str, Any]) -> ScenePerson:
    if unknown := set(given) - {"name", "says"}:
        raise ValueError(f"a person has name and says, and no {', '.join(sorted(unknown))}")
    return ScenePerson(given["name"], [_line(line) for line in given["says"]])


def _line(given: Mapping[str, Any]) -> SceneLine:
    if unknown := set(given) - {"text", "due", "answers"}:
        raise ValueError(f"a text has text, due and answers, and no {', '.join(sorted(unknown))}")
    return SceneLine(given["text"], given.get("due", []), given.get("answers"))


def _try(scene: JudgedScene) -> None:
    """Let the checker read the scene, so that a wrong `due` is an error now and not after the first trial."""
    names = [person.name for person in scene.people]
    if not all(person.lines for person in scene.people) or not names:
        raise ValueError("each person must say something")
    if len(set(names)) < len(names):
        raise ValueError("two people have the same name")
    lines = [
        (person.name, line.filled(run="1", person=person.name)) for person in scene.people for line in person.lines
    ]
    texts = [
        {"id": str(number), "chat": name, "from": name, "at": number, "text": line.text, "due": line.due}
        for number, (name, line) in enumerate(lines)
    ]
    checker.check({"texts": texts})
