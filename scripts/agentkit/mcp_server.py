"""A tiny MCP server on stdin and stdout with one tool, `add_numbers`. Run by the agents, so it needs nothing else.

Source: Model Context Protocol, revision 2025-06-18, stdio transport: one JSON-RPC message per line.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TOOL = {
    "name": "add_numbers",
    "description": "Adds two whole numbers.",
    "inputSchema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a request; None for a method that this server does not have."""
    if method == "initialize":
        version = params.get("protocolVersion", "2025-06-18")
        return {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "calc", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        given = params.get("arguments", {})
        return {"content": [{"type": "text", "text": f"sum={given['a'] + given['b']}"}]}
    return {} if method == "ping" else None


def main() -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message.get("method", ""), message.get("params", {}))
        body = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}), flush=True)


if __name__ == "__main__":
    main()
