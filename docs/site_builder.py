"""Builds the site of the docs, or serves it: the written pages, the reference, and a search that knows both.

    uv run --all-packages python docs/site_builder.py build [FOLDER]    # into dist/site
    uv run --all-packages python docs/site_builder.py serve             # on http://127.0.0.1:8000; start it again after a change

It needs no network. A warning, a link or an anchor that leads nowhere ends the build with an error.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import generate

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
REPOSITORY = "https://github.com/linqbot/linqbot/blob/main"
ORIGIN = "http://site/"


def stage(folder: Path) -> None:
    """Copy all pages into a folder as the site needs them.

    A link to a file outside of docs/ leads to the repository.
    """
    pages = folder / "pages"
    for path in [path for kind in ("md", "webp", "svg", "css", "js") for path in DOCS.rglob(f"*.{kind}")]:
        name = path.relative_to(DOCS)
        if name.parts[0] in {"reference", "skill", "snippets"}:
            continue
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            (pages / name).write_text(_for_site(path))
        else:
            shutil.copy(path, pages / name)
    for page, text in generate.built().items():
        (pages / "reference" / page).parent.mkdir(parents=True, exist_ok=True)
        (pages / "reference" / page).write_text(text)
    shutil.copy(DOCS / "mkdocs.yml", folder)


def _for_site(page: Path) -> str:
    """Return a page with the links and the file names of its code as the site needs them."""
    text = re.sub(r"\]\((\.\.?/[^)#\s]+)", partial(_outside, page), page.read_text())
    # GitHub ignores what follows the language of a code block. Here a block with a bare file name would be no code.
    return re.sub(r"^```(\w+) ([\w.]+)$", r'```\1 title="\2"', text, flags=re.MULTILINE)


def _outside(page: Path, link: re.Match[str]) -> str:
    target = (page.parent / link[1]).resolve()
    is_page = target.is_relative_to(DOCS) and target != generate.SKILL
    return link[0] if is_page else f"]({REPOSITORY}/{target.relative_to(ROOT)}"


def build(site: Path) -> None:
    """Build the site into a folder.

    Raises:
        SystemExit: a page has a fault; what Zensical says and each broken link are printed.
    """
    with tempfile.TemporaryDirectory(prefix="linqbot-site-") as name:
        stage(Path(name))
        built = _zensical("build", "--strict", cwd=Path(name))
        if built.returncode or "No issues found" not in built.stdout + built.stderr:
            sys.exit(f"{built.stdout}{built.stderr}\nThe site has faults.")
        if broken := sorted(broken_links(Path(name) / "site")):
            sys.exit("\n".join(f"{page}: {link} leads nowhere" for page, link in broken))
        _tune_search(Path(name) / "site" / "search.json")
        _turn_empty_headers_into_cells(Path(name) / "site")
        _write_for_models(Path(name))
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(Path(name) / "site", site)


def _write_for_models(folder: Path) -> None:
    """Add llms.txt, the skill, and llms-full.txt with the text of all written pages in the order of the navigation."""
    shutil.copy(ROOT / "llms.txt", folder / "site")
    shutil.copy(generate.SKILL, folder / "site")
    names = re.findall(r"- (?:[\w ]+: )?([\w/-]+\.md)$", (DOCS / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = [(folder / "pages" / name).read_text() for name in names if not name.startswith("reference/")]
    (folder / "site" / "llms-full.txt").write_text("\n\n".join([(ROOT / "llms.txt").read_text(), *pages]))


def _tune_search(index: Path) -> None:
    """Let the search find the written pages.

    A result has all words that are searched for. So the entry of a written page has the text of all its sections too:
    words of two sections find the page. Classes, events, calls and hooks are left out, because they have the words of
    the written pages in their titles. Their lists stay with each name, and so do commands, settings and codes.
    """
    found = json.loads(index.read_text())
    entries = re.compile(r"reference/((api|classes)/\w+/|(events|hooks|control)/#)")
    found["items"] = [item for item in found["items"] if not entries.match(item["location"])]
    pages = {item["location"]: item for item in found["items"] if "#" not in item["location"]}
    for item in found["items"]:
        page, _, section = item["location"].partition("#")
        if section and not page.startswith("reference/"):
            pages[page]["text"] += f" {item['title']}. {item['text']}"
    index.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")))


def _turn_empty_headers_into_cells(site: Path) -> None:
    """Make an empty header of a table a cell: screen readers name the cells below by a header."""
    for page in site.rglob("*.html"):
        page.write_text(page.read_text().replace("<th></th>", "<td></td>"))


def _zensical(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("zensical"), *words]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True, check=False
    )


class _Page(HTMLParser):
    """The ids of a page and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"id", "name"} and value:
                self.ids.add(value)
            elif name in {"href", "src"} and value and tag in {"a", "img", "link", "script"}:
                self.links.append(value)


def broken_links(site: Path) -> Iterator[tuple[str, str]]:
    """Yield the page and the link of each link within the site that has no page, file or anchor."""
    pages: dict[str, _Page] = {}
    for path in site.rglob("*.html"):
        if path.name != "404.html":
            page = pages[urlsplit(urljoin(ORIGIN, str(path.relative_to(site)))).path.removesuffix("index.html")] = (
                _Page()
            )
            page.feed(path.read_text())
    for where, page in pages.items():
        for link in page.links:
            target = urlsplit(urljoin(ORIGIN.rstrip("/") + where, link))
            if target.netloc != urlsplit(ORIGIN).netloc or target.scheme not in {"http", "https"}:
                continue
            path, anchor = unquote(target.path), unquote(target.fragment)
            found = pages.get(path.removesuffix("index.html"))
            is_there = found is not None or (site / path.lstrip("/")).is_file()
            if not is_there or (anchor and found is not None and anchor not in found.ids):
                yield where, link


def serve() -> None:
    """Serve the site until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="linqbot-site-") as name:
        stage(Path(name))
        subprocess.run([Path(sys.executable).with_name("zensical"), "serve"], cwd=name, check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["build", "serve"])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist" / "site")
    chosen = parser.parse_args()
    if chosen.what == "serve":
        serve()
    else:
        build(chosen.folder)
        print(f"The site is in {chosen.folder}.")


if __name__ == "__main__":
    main()
