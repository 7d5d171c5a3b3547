"""Draws the pictures of docs/measured.md as SVG, from the files in `results/`.

    uv run benchmarks/charts.py

A picture carries its colours for light and dark pages, its own background, and what it shows in words: its description has
every figure, and its last lines have the date, the machine and the versions.
"""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

from results import load

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH: Final = 480  # on a phone, a wider picture would be scaled down until its text cannot be read
MARGIN: Final = 16
STYLE: Final = """
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 12px; fill: #59636e }
.page { fill: #ffffff; stroke: #d1d9e0 }
.rule { stroke: #d1d9e0; fill: none }
.c0 { fill: #0b6bcb } .c1 { fill: #c2570c } .c2 { fill: #6b7280 } .c3 { fill: #15803d }
.line { fill: none; stroke-width: 2.5 }
.line.c0 { stroke: #0b6bcb } .line.c1 { stroke: #c2570c } .line.c2 { stroke: #6b7280 } .line.c3 { stroke: #15803d }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9198a1 } .page { fill: #0d1117; stroke: #3d444d } .rule { stroke: #3d444d }
.c0 { fill: #58a6ff } .c1 { fill: #f0883e } .c2 { fill: #9198a1 } .c3 { fill: #3fb950 }
.line { fill: none } .line.c0 { stroke: #58a6ff } .line.c1 { stroke: #f0883e } .line.c2 { stroke: #9198a1 }
.line.c3 { stroke: #3fb950 }
}
"""


@dataclass(frozen=True)
class Bar:
    """A bar with its name in front of it and its figure behind it."""

    name: str
    value: float
    figure: str
    colour: int = 0


@dataclass
class Picture:
    """An SVG that grows downwards.

    Attributes:
        says: Sentences with the figures, for the description.
    """

    title: str
    says: list[str] = field(default_factory=list)
    _y: float = 0
    _parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for line in textwrap.wrap(self.title, 46):
            self._text(MARGIN, 24, line, "title")

    def _text(self, x: float, down: float, text: str, style: str = "", anchor: str = "start") -> None:
        self._y += down
        self._put(x, self._y, text, style, anchor)

    def _put(self, x: float, y: float, text: str, style: str = "", anchor: str = "start") -> None:
        self._parts.append(
            f'<text x="{x:.0f}" y="{y:.0f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def small(self, text: str) -> None:
        """Add lines of small text."""
        self._y += 6
        for line in textwrap.wrap(text, 70):
            self._text(MARGIN, 16, line, "small")

    def bars(self, heading: str, bars: Sequence[Bar], most: float, *, names: int = 120) -> None:
        """Add bars below a heading.

        Args:
            most: The value of a bar over the whole width.
            names: The width of the names, in pixels.
        """
        if heading:
            self._text(MARGIN, 28, heading)
        self._y += 6
        left = MARGIN + names
        for bar in bars:
            self._put(left - 8, self._y + 15, bar.name, "small", "end")
            width = max(bar.value * (WIDTH - left - 74) / most, 1)
            self._parts.append(
                f'<rect x="{left}" y="{self._y + 3:.0f}" width="{width:.1f}" height="15" class="c{bar.colour}"/>'
            )
            self._put(left + width + 6, self._y + 15, bar.figure, "small")
            self._y += 20
            self.says.append(f"{f'{heading}, ' if heading else ''}{bar.name}: {bar.figure}.")

    def lines(
        self, x_name: str, y_name: str, xs: Sequence[str], lines: Mapping[str, Sequence[float]], colours: Sequence[int]
    ) -> None:
        """Add lines over points that are equally far apart, with the name and the last figure at the end of each line."""
        left, right, height = MARGIN + 44, WIDTH - 154, 190
        self._text(MARGIN, 28, y_name, "small")
        top = self._y + 14
        bottom = self._y = top + height
        most = _round_up(max(max(values) for values in lines.values()))
        for part in range(5):
            y = bottom - height * part / 4
            self._parts.append(f'<path d="M{left} {y:.1f}H{right}" class="rule"/>')
            self._put(left - 6, y + 4, _short(most * part / 4), "small", "end")
        places = [left + (right - left) * n / max(len(xs) - 1, 1) for n in range(len(xs))]
        for place, x in zip(places, xs, strict=True):
            self._put(place, bottom + 18, x, "small", "middle")
        ends = _apart({name: bottom - height * values[-1] / most for name, values in lines.items()}, 15)
        for (name, values), colour in zip(lines.items(), colours, strict=True):
            heights = [bottom - height * value / most for value in values]
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(places, heights, strict=True))
            self._parts.append(f'<polyline points="{points}" class="line c{colour}"/>')
            self._parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="c{colour}"/>'
                for x, y in zip(places, heights, strict=True)
            ]
            self._put(right + 10, ends[name] + 4, f"{name} {_short(values[-1])}", "small")
            figures = ", ".join(f"{x}: {_short(value)}" for x, value in zip(xs, values, strict=True))
            self.says.append(f"{name}, {y_name} by {x_name}: {figures}.")
        self._text((left + right) / 2, 36, x_name, "small", "middle")

    def svg(self) -> str:
        """Return the picture."""
        height = self._y + MARGIN
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="title desc">'
        return "\n".join(
            [
                head,
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="desc">{escape(" ".join(self.says))}</desc>',
                f"<style>{STYLE}</style>",
                f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="6" class="page"/>',
                *self._parts,
                "</svg>\n",
            ]
        )


def _apart(places: Mapping[str, float], least: float) -> dict[str, float]:
    """Move labels down until each is far enough below the one above it."""
    moved: dict[str, float] = {}
    last = -math.inf
    for name, y in sorted(places.items(), key=lambda item: item[1]):
        last = moved[name] = max(y, last + least)
    return moved


def _round_up(value: float) -> float:
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 8, 10) if step * unit >= value)


def _short(value: float) -> str:
    if value >= 10 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.1f}"


STEPS: Final = {
    "verify": "signature",
    "delivery": "name and chat",
    "put": "stored on disk",
    "turn": "parse, handler, reply",
    "begin": "send recorded",
    "finish": "turn committed",
}
"""The stages of `stages.py` that follow each other in an echo, in words."""


def echo() -> str:
    """Draw the cost of an echo, as a whole next to other frameworks, and by stage."""
    conditions, found = load("stages")
    cost = {name: statistics.median(values) for name, values in found.items()}
    picture = Picture("What an echo costs the server: processor time in µs")
    whole = {"linqbot": cost["echo"]} | {
        name: value for name, value in cost.items() if name not in {*STEPS, "echo", "parse"}
    }
    most = max(whole.values())
    bars = [Bar(name, value, _short(value), int(name != "linqbot")) for name, value in whole.items()]
    picture.bars("One echo", bars, most, names=178)
    steps = {said: cost[name] for name, said in STEPS.items()}
    steps["the rest: sockets, HTTP"] = cost["echo"] - sum(steps.values())
    bars = [Bar(name, value, _short(value)) for name, value in steps.items()]
    picture.bars("linqbot's by step, on a larger scale", bars, cost["echo"], names=178)
    picture.small(
        f"Medians of {len(found['echo'])} rounds, 16 echoes in flight, one API call each. linqbot stores each message and "
        "each send on disk; the others store nothing. slack-bolt, tuned: by hand, it opens connections once."
    )
    picture.small(str(conditions))
    return picture.svg()


def kills() -> str:
    """Draw how many messages were answered after a kill, on three frameworks."""
    conditions, found = load("kills")
    picture = Picture("kill -9 after 20 texts were accepted: how many were answered once")
    for case, bots in found.items():
        bars = [
            Bar(bot, answered / sent, f"{answered} of {sent}", int(bot != "linqbot"))
            for bot, (answered, sent) in bots.items()
        ]
        picture.bars(case, bars, 1, names=80)
    picture.small(
        "No message was answered twice. All rounds of a case together; eve was given 36 to 120 s after a kill."
    )
    picture.small(str(conditions))
    return picture.svg()


def order() -> str:
    """Draw how many chats were answered in order after a gap."""
    conditions, found = load("order")
    picture = Picture("Three texts of each person around a gap: chats answered in order, each once")
    for case, bots in found.items():
        bars = [
            Bar(
                bot,
                result["in_order"] / result["people"],
                f"{result['in_order']} of {result['people']}",
                int(bot != "linqbot"),
            )
            for bot, result in bots.items()
        ]
        picture.bars(case, bars, 1, names=158)
    picture.small(
        "The emulator retries each text on its own, so later texts may arrive first. FastAPI + linq-python answers what "
        "arrives, as its documents write it."
    )
    picture.small(str(conditions))
    return picture.svg()


def backlog() -> str:
    """Draw the time of a lease as the backlog grows."""
    conditions, found = load("backlog")
    points = sorted((int(events), min(values)) for events, values in found.items())
    rounds = len(next(iter(found.values())))
    picture = Picture("PostgreSQL: one lease of 50 chats, as the backlog grows")
    xs = [f"{events:,}" for events, _ in points]
    picture.lines("events that wait", "ms", xs, {"linqbot": [ms for _, ms in points]}, [0])
    picture.small(
        f"The shortest of {40 * rounds} leases, so that other programs of the machine count little; up to 10,000 chats."
    )
    picture.small(str(conditions))
    return picture.svg()


def workers() -> str:
    """Draw the events that a fleet handles, by the number of its workers."""
    conditions, found = load("workers")
    best = {engine: {int(count): max(values) for count, values in counts.items()} for engine, counts in found.items()}
    rounds = len(next(iter(found["linqbot"].values())))
    counts = sorted(best["linqbot"])
    lines = {engine: [figures[count] for count in counts] for engine, figures in best.items()}
    picture = Picture("PostgreSQL: events handled per second, by number of workers")
    picture.lines("workers", "events/s", [str(count) for count in counts], lines, range(len(lines)))
    picture.small(
        "100 chats, each in order; handling an event takes 1 ms. Server, workers and load share the cores. linqbot runs "
        "whole turns of a bot; linqbot, storage only leases and acknowledges, as the others do. The best of each row's "
        f"{rounds} rounds: other programs only slow a round down."
    )
    picture.small(str(conditions))
    return picture.svg()


def grown() -> str:
    """Draw what commands and views of operators take as the file of a bot grows."""
    conditions, found = load("grown")
    picture = Picture("Operators' commands next to a serving bot, as its file grows")
    shown = {
        "start": "start",
        "person show": "person show",
        "person forget": "forget",
        "why": "why",
        "waiting list": "waiting list",
    }
    most = max(each["seconds"][name] for each in found for name in shown.values())
    for said, name in shown.items():
        bars = [
            Bar(f"{each['megabytes']:,.0f} MB", each["seconds"][name], f"{each['seconds'][name]:.2f} s", n)
            for n, each in enumerate(found)
        ]
        picture.bars(said, bars, most, names=78)
    views = {name.removeprefix("page, "): name for name in found[0]["seconds"] if name.startswith("page, ")}
    most = max(each["seconds"][name] for each in found for name in views.values())
    for said, name in views.items():
        bars = [
            Bar(f"{each['megabytes']:,.0f} MB", each["seconds"][name], f"{each['seconds'][name] * 1000:.0f} ms", n)
            for n, each in enumerate(found)
        ]
        picture.bars(f"view of the page: {said}", bars, most, names=78)
    refused = sum(each["refused"] for each in found)
    picture.small(
        "Medians. Views and commands have scales of their own; a command takes 0.3 s to start Python. The server acknowledges 40 "
        f"webhooks a second meanwhile; {refused} were refused."
    )
    picture.small(str(conditions))
    return picture.svg()


CHARTS: Final[dict[str, Callable[[], str]]] = {
    "echo": echo,
    "kills": kills,
    "order": order,
    "backlog": backlog,
    "workers": workers,
    "grown": grown,
}
"""The pictures by the names of their files."""


def main() -> None:
    for name, draw in CHARTS.items():
        (PICTURES / f"{name}.svg").write_text(draw())


if __name__ == "__main__":
    main()
