"""Scene files, and the forms of the card."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from linqbot_dev.judge.card import PromiseCard
from linqbot_dev.judge.card_page import page_of
from linqbot_dev.judge.judging import PromiseLine
from linqbot_dev.judge.play import StoryLine
from linqbot_dev.judge.promises import PROMISES
from linqbot_dev.judge.scene import SceneLine, echo, load_scene
from linqbot_dev.judge.trials import TRIALS

from linqbot.errors import ConfigError

HERE = Path(__file__).parent
STORY = [
    StoryLine(10.0, "Ann", by_bot=False, text="apples 1"),
    StoryLine(10.2, None, by_bot=False, text="kill -9"),
    StoryLine(10.6, "Ann", by_bot=True, text="<b>You said</b>: apples 1\x1b[2J"),
]
CARD = PromiseCard(
    "node bot.js",
    [
        PromiseLine("answers", "kept"),
        PromiseLine("kill", "broken", "Lost: “apples 1” & more\x00.", "kill after a webhook", (2, 3), STORY),
        PromiseLine("overlap", "not tried", "it takes no list"),
    ],
)


# --- scenes -----------------------------------------------------------------------------------------------------------


def test_each_placeholder_of_a_line_is_replaced_wherever_it_stands() -> None:
    line = SceneLine("slot {run}", [{"kind": "one_of", "texts": ["{person}: {text}"]}], answers="{run}?")
    assert line.filled(run="7", person="Ann") == SceneLine(
        "slot 7", [{"kind": "one_of", "texts": ["Ann: slot 7"]}], answers="7?"
    )


def test_an_echo_owes_the_bubbles_that_the_probes_got() -> None:
    scene = echo(["Welcome!", "{text}"], ["{text}"])
    first, second = (line.filled(run="1", person="Ann") for line in scene.people[0].lines[:2])
    assert first.due == [{"kind": "shows", "texts": ["Welcome!", "apples 1"]}]
    assert second.due == [{"kind": "shows", "texts": ["bread 1"]}]


@pytest.mark.parametrize("name", ["ask.toml", "slots.toml"])
def test_the_scenes_of_the_page_are_those_that_are_tested(name: str) -> None:
    page = (HERE.parents[3] / "docs" / "judge.md").read_text()
    assert f"```toml\n{(HERE / name).read_text()}```" in page
    assert load_scene(HERE / name).length >= 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("people = [", "Invalid"),
        ("", "'people' is missing"),
        ("people = []", "each person must say something|max"),
        ('[[people]]\nname = "Ann"\nsays = []', "each person must say something"),
        ('[[people]]\nname = "Ann"\nsays = [{ text = "hi", expects = 1 }]', "and no expects"),
        ('[[people]]\nname = "Ann"\nsays = [{ text = "hi", due = [{ kind = "sings" }] }]', "'sings' is no kind of due"),
        ('[[people]]\nname = "Ann"\nage = 4\nsays = [{ text = "hi" }]', "and no age"),
    ],
)
def test_a_file_that_is_no_scene_is_an_error_that_says_why(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "scene.toml").write_text(text)
    with pytest.raises(ConfigError, match=why):
        load_scene(tmp_path / "scene.toml")


def test_two_people_of_one_name_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "scene.toml").write_text('[[people]]\nname = "Ann"\nsays = [{ text = "hi" }]\n' * 2)
    with pytest.raises(ConfigError, match="same name"):
        load_scene(tmp_path / "scene.toml")


# --- trials -----------------------------------------------------------------------------------------------------------


def test_each_promise_has_a_trial_except_that_the_process_stays_up() -> None:
    assert {promise for trial in TRIALS for promise in trial.promises} == PROMISES.keys() - {"stays"}
    assert len({trial.name for trial in TRIALS}) == len(TRIALS)


def test_each_promise_and_each_trial_stands_on_the_page() -> None:
    page = (HERE.parents[3] / "docs" / "judge.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    assert set(PROMISES.values()) <= {words for words, _ in rows}
    made = " ".join(trials for _, trials in rows)
    assert [trial.name for trial in TRIALS if trial.name not in made] == []


# --- the card ---------------------------------------------------------------------------------------------------------


def test_a_card_in_json_has_each_promise_with_its_story() -> None:
    shown = CARD.as_json()
    assert (shown["bot"], shown["good"]) == ("node bot.js", False)
    assert [each["verdict"] for each in shown["promises"]] == ["kept", "broken", "not tried"]
    assert [(each["s"], each["by"], each["chat"]) for each in shown["promises"][1]["story"]] == [
        (0.0, "person", "Ann"),
        (0.2, "judge", None),
        (0.6, "bot", "Ann"),
    ]


def test_a_card_in_junit_has_a_failure_with_the_story_and_what_was_not_tried() -> None:
    suite = ET.fromstring(CARD.junit())[0]
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["skipped"]) == ("3", "1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "0.2 s  (kill -9)" in (failure.text or "")


def test_a_card_for_people_prints_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    CARD.print()
    said = capsys.readouterr().out
    assert "node bot.js: 1 kept, 1 broken, 1 not tried" in said
    assert "\x1b[2J" not in said
    assert "bot to Ann  <b>You said</b>" in said


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_phones_escapes_what_bots_say_and_runs_nothing() -> None:
    text = page_of(CARD).decode()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert not page.seen & {"b", "script", "img", "link"}
    assert "&lt;b&gt;You said&lt;/b&gt;" in text
    assert '<li class="judge">kill -9</li>' in text
    assert "default-src 'none'" in text
