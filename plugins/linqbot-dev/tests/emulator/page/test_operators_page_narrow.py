"""The operator's page on a narrow screen. It stands here because this folder has Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

import linqbot.ops.page

pytestmark = pytest.mark.browser

STYLE = (Path(linqbot.ops.page.__file__).parent / "templates" / "style.css").read_text()
LOG = """<nav><a>Chats</a><a>Troubles</a><a>Day</a><a>Lines</a><a>Log</a></nav><table>
<tr><th>When</th><th>Operator</th><th>Act</th></tr>
<tr><td>just now</td><td>operator</td><td class="name">mute 79240ed6-8748-437b-87cd-db7f1e6f1f19: """
_BROKEN = """() => [...document.querySelectorAll("a, th, td:not(.name)")].filter((each) => {
    const lines = document.createRange();
    lines.selectNodeContents(each);
    return lines.getClientRects().length > each.textContent.split(" ").length;
}).map((each) => each.textContent)"""


def test_on_a_narrow_screen_no_word_is_broken_and_nothing_is_beside_the_screen(chromium: Browser) -> None:
    page = chromium.new_page(viewport={"width": 320, "height": 640})
    page.set_content(f"<style>{STYLE}</style><main>{LOG}{'x' * 200}</td></tr></table></main>")
    assert page.evaluate(_BROKEN) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.close()
