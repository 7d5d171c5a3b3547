"""An MCP server on standard input and output. Without the package `mcp`, which takes seconds to import.

Its argument is a folder. It notes each call in the file `acts` of it. If there is a file `die`, it dies after a call,
and after each call if the file says `always`. A file `result` has the JSON text of the results of calls.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
TOOLS = [
    {"name": "reserve", "description": "Reserve a table.", "inputSchema": {"type": "object"}},
    {
        "name": "notify",
        "description": "Notify the cook.",
        "inputSchema": {"type": "object"},
        "annotations": {"destructiveHint": True},
    },
]


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        facts = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}}
        return {**facts, "serverInfo": {"name": "ledger", "version": "1"}}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        with (FOLDER / "acts").open("a") as file:
            file.write(f"{params['name']} {params['_meta']['idempotency-key']}\n")
        if (FOLDER / "die").exists():
            if (FOLDER / "die").read_text() != "always":
                (FOLDER / "die").unlink()
            sys.exit(1)
        if (FOLDER / "result").exists():
            return {"any": (FOLDER / "result").read_text()}
        return {"content": [{"type": "text", "text": f"{params['name']} is done"}]}
    return None


(FOLDER / "pids").open("a").write(f"{os.getpid()}\n")
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    found = answer(asked["method"], asked.get("params", {}))
    said = {"error": {"code": -32601, "message": "Method not found"}} if found is None else {"result": found}
    written = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said})
    if found is not None and "any" in found:
        written = written.replace(json.dumps(found), found["any"])
    sys.stdout.buffer.write(f"{written}\n".encode("latin-1"))
    sys.stdout.flush()
