"""Serves the files of the page: from memory, compressed, and with the list of the modules that it starts with.

The page has about a hundred small modules and no build step. So the first visit is quick only if each file costs the
server little, and if the browser can ask at once for all modules that it needs: `index.html` names them in `modulepreload`
links, which replace the comment `<!-- modules -->`. These are its own scripts, the modules that they import, and so on;
modules that are loaded later, with `import()`, are not among them. A file that was changed is read again,
so that the page can be edited while it is served.
"""

from __future__ import annotations

import gzip
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

INDEX: Final = "index.html"
MODULES: Final = b"<!-- modules -->"
_SCRIPT: Final = re.compile(rb'<script type="module" src="\./([^"]+)">')
# A statement at the beginning of a line, or the end of one that was broken: types in comments are named after a star.
_IMPORT: Final = re.compile(rb'^(?:import |export |\} from )[^"\n]*"(\.[^"]+)";$', re.MULTILINE)
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _File:
    changed_ns: int
    plain: bytes
    compressed: bytes
    imports: tuple[str, ...]


class PageFiles:
    """An ASGI app that serves the files of a folder that a page is made of.

    Args:
        folder: The folder. Files of other types than scripts, styles, SVG and HTML are not served.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[str, Path] = {}
        self._files: dict[str, _File] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(scope)(scope, receive, send)

    def _response(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("Method Not Allowed", 405)
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/") or INDEX
        if name == INDEX or name not in self._paths:
            self._list()
        if name not in self._paths:
            return PlainTextResponse("Not Found", 404)
        file = self._read(name)
        headers = {"content-type": _TYPES[self._paths[name].suffix], "vary": "accept-encoding"}
        if "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            return Response(file.plain, headers=headers)
        return Response(file.compressed, headers=headers | {"content-encoding": "gzip"})

    def _list(self) -> None:
        """Note all files of the folder. A path that is not noted is not served, so no request leads out of the folder."""
        files = (path for path in self._folder.rglob("*") if path.suffix in _TYPES)
        self._paths = {path.relative_to(self._folder).as_posix(): path for path in files}

    def _read(self, name: str) -> _File:
        path = self._paths[name]
        changed_ns = path.stat().st_mtime_ns
        file = self._files.get(name)
        if file is None or file.changed_ns != changed_ns or name == INDEX:
            plain = path.read_bytes()
            if name == INDEX:
                plain = plain.replace(MODULES, self._preloads(plain))
            imports = _imports(name, plain) if name.endswith(".js") else ()
            file = self._files[name] = _File(changed_ns, plain, gzip.compress(plain, mtime=0), imports)
        return file

    def _preloads(self, index: bytes) -> bytes:
        found = [name for name in map(bytes.decode, _SCRIPT.findall(index)) if name in self._paths]
        for name in found:
            found += [other for other in self._read(name).imports if other in self._paths and other not in found]
        return "".join(f'<link rel="modulepreload" href="./{name}">' for name in found).encode()


def _imports(name: str, code: bytes) -> tuple[str, ...]:
    """Return the modules that a module imports, without those that it loads later."""
    folder = posixpath.dirname(name)
    return tuple(posixpath.normpath(posixpath.join(folder, one.decode())) for one in _IMPORT.findall(code))
