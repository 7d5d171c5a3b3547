"""The pictures of the measurements are those of the stored results, and can be read without seeing them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import charts
import pytest
import results

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def test_each_picture_is_drawn_from_its_stored_result() -> None:
    drawn = {f"{name}.svg": draw() for name, draw in charts.CHARTS.items()}
    kept = {path.name: path.read_text() for path in charts.PICTURES.glob("*.svg")}
    assert drawn.keys() == kept.keys()
    changed = [name for name, svg in drawn.items() if svg != kept[name]]
    assert not changed, "uv run benchmarks/charts.py draws them again"


def test_each_picture_says_in_words_what_it_shows_when_and_on_which_machine() -> None:
    page = (ROOT / "docs" / "measured.md").read_text()
    for path in charts.PICTURES.glob("*.svg"):
        picture = ElementTree.parse(path).getroot()
        texts = " ".join(each.text or "" for each in picture.iter(f"{SVG}text"))
        words = " ".join(picture.findtext(f"{SVG}{part}") or "" for part in ("title", "desc"))
        assert picture.get("role") == "img", path
        assert any(letter.isdigit() for letter in words), path
        for said in ("2026", "cores", "linqbot 0."):
            assert said in texts, (path, said)
        assert f"](pictures/{path.name})" in page, path


@pytest.mark.process
def test_results_are_read_as_they_were_saved(tmp_path: Path) -> None:
    conditions = results.Conditions.now("pydantic", "a library that is not installed")
    results.save("one", conditions, {"echo": [1.5]}, folder=tmp_path)
    assert results.load("one", folder=tmp_path) == (conditions, {"echo": [1.5]})
    assert conditions.versions.keys() == {"linqbot", "Python", "pydantic"}
