"""uvicorn without its reloading of changed code: `linqbot serve` never reloads, and `linqbot dev` has its own way.

Import uvicorn from here.
"""

from __future__ import annotations

import sys

# `import uvicorn` also imports watchfiles, where it is installed, with its native library: nearly a MiB for a reload that
# linqbot never asks uvicorn for. uvicorn does without it where the import fails. As for rich in `cli/logs.py`, None in
# `sys.modules` makes the import fail, and is removed at once, so that `linqbot dev` can import watchfiles.
sys.modules.setdefault("watchfiles", None)  # type: ignore[arg-type]
import uvicorn as uvicorn  # noqa: E402, PLC0414 - exported
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware as ProxyHeadersMiddleware  # noqa: E402, PLC0414
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpToolsProtocol  # noqa: E402, PLC0414
from uvicorn.server import ServerState as ServerState  # noqa: E402, PLC0414

if sys.modules["watchfiles"] is None:
    del sys.modules["watchfiles"]
