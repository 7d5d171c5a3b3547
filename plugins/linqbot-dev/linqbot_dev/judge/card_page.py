"""The card of a judged bot as one HTML file: each promise, and under a broken one the phones on which it was seen.

The file loads nothing and runs no script. Texts of the bot are escaped.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final

from linqbot_dev.judge.card import PromiseCard, timed
from linqbot_dev.judge.judging import PromiseLine
from linqbot_dev.judge.promises import PROMISES

_STYLE: Final = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c1c1e; --faint: #5c5c66; --phone: #f2f2f7; --theirs: #e1e1e8;
  --mine: #0a63d6; --mine-ink: #fff; --kept: #176b2e; --broken: #b3141c; --untried: #7a5200; }
@media (prefers-color-scheme: dark) { :root { --page: #111; --ink: #f2f2f7; --faint: #a9a9b3; --phone: #1c1c1e;
  --theirs: #38383c; --kept: #4cd471; --broken: #ff7b72; --untried: #ffc14d; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1rem; margin: 0; }
article { padding: .7rem 0; border-top: 1px solid var(--theirs); } p { margin: .3rem 0; overflow-wrap: anywhere; }
.verdict { display: inline-block; min-width: 6rem; } .faint { color: var(--faint); }
.kept .verdict { color: var(--kept); } .broken .verdict { color: var(--broken); } .untried .verdict { color: var(--untried); }
.phones { display: flex; flex-wrap: wrap; gap: 1rem; margin: .7rem 0; }
.phone { width: 20rem; max-width: 100%; background: var(--phone); border-radius: 1.5rem; padding: .8rem; box-sizing: border-box; }
.phone h3 { font-size: .9rem; text-align: center; margin: 0 0 .5rem; } ol { list-style: none; margin: 0; padding: 0; }
li { margin: .3rem 0; display: flex; flex-direction: column; } li.mine { align-items: flex-end; } li.theirs { align-items: flex-start; }
li span { max-width: 85%; padding: .4rem .8rem; border-radius: 1.1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.mine span { background: var(--mine); color: var(--mine-ink); } .theirs span { background: var(--theirs); }
li small { color: var(--faint); } li.judge { text-align: center; font-size: .85rem; color: var(--faint); }
"""


def page_of(card: PromiseCard) -> bytes:
    """Return the card as an HTML page, in UTF-8."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    title = escape(f"{card.bot}: {card.summary}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"{''.join(map(_article, card.lines))}</main>\n</body>\n</html>\n"
    ).encode()


def _article(line: PromiseLine) -> str:
    kind = "untried" if line.verdict == "not tried" else line.verdict
    why = f"<p>{escape(line.why)}</p>\n" if line.why else ""
    made = (
        f'<p class="faint">{escape(line.trial)}, {line.times[0]} of {line.times[1]} times</p>\n' if line.trial else ""
    )
    heading = f'<h2><span class="verdict">{line.verdict}</span> {escape(PROMISES[line.promise])}</h2>\n'
    return f'<article class="{kind}">\n{heading}{why}{made}{_phones(line)}</article>\n'


def _phones(line: PromiseLine) -> str:
    people = list(dict.fromkeys(each.chat for each in line.story if each.chat is not None))
    phones = "".join(_phone(line, person) for person in people)
    return f'<div class="phones">\n{phones}</div>\n' if phones else ""


def _phone(line: PromiseLine, person: str) -> str:
    rows = []
    for seconds, each in timed(line.story):
        if each.chat is None:
            rows.append(f'<li class="judge">{escape(each.text)}</li>\n')
        elif each.chat == person:
            side = "theirs" if each.by_bot else "mine"
            rows.append(f'<li class="{side}"><span>{escape(each.text)}</span><small>{seconds} s</small></li>\n')
    return f'<section class="phone">\n<h3>{escape(person)}</h3>\n<ol>\n{"".join(rows)}</ol>\n</section>\n'
